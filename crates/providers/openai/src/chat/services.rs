//! Dialects of services whose batches hold chat completions. Each name has its source; further refusals
//! of single models are left to the service.

use lmbatch_core::{CallIdRule, Effort, ErrorKind, FinishReason, Retry};

use super::{
    Dialect, Efforts, Errors, Extras, FilePart, Files, Parameters, Rows, Schemas, Thoughts, Tools,
};

const ALL_LEVELS: &[(Effort, &str)] = &[
    (Effort::None, "none"),
    (Effort::Minimal, "minimal"),
    (Effort::Low, "low"),
    (Effort::Medium, "medium"),
    (Effort::High, "high"),
    (Effort::XHigh, "xhigh"),
    (Effort::Max, "max"),
];

const NONE_TO_HIGH: &[(Effort, &str)] = &[
    (Effort::None, "none"),
    (Effort::Low, "low"),
    (Effort::Medium, "medium"),
    (Effort::High, "high"),
];

const LOW_TO_HIGH: &[(Effort, &str)] = &[
    (Effort::Low, "low"),
    (Effort::Medium, "medium"),
    (Effort::High, "high"),
];

const fn effort(levels: &'static [(Effort, &'static str)]) -> Option<Efforts> {
    Some(Efforts {
        member: "reasoning_effort",
        levels,
    })
}

impl Dialect {
    /// OpenAI's own chat completions (OpenAPI document 2.3.0, 2026-08-21).
    pub const OPENAI: Self = Self {
        service: "openai",
        parameters: Parameters::OPENAI,
        efforts: effort(ALL_LEVELS),
        tools: Some(Tools::OPENAI),
        schemas: Schemas::OpenAi,
        // "Images: PNG, JPEG, WEBP and GIF without animation" (images and vision guide, 2026).
        images: Some(Files::IMAGE_URL),
        // "Chat Completions accepts only PDF files as file content parts" (file inputs guide, 2026-11).
        documents: Some(Files {
            part: FilePart::File,
            media_types: &["application/pdf"],
            bytes: true,
            urls: false,
            ids: true,
            hint: "set the endpoint to responses, which takes documents by URL, text and office documents",
        }),
        audio: Some(Files {
            part: FilePart::InputAudio,
            media_types: &[],
            bytes: true,
            urls: false,
            ids: false,
            hint: "",
        }),
        ..Self::plain("openai")
    };

    /// Groq (SDK 1.7.0, `completion_create_params.py`): penalties are "not yet supported by any of our models",
    /// one answer for each request, strict tools and schemas, images by URL or as bytes.
    pub const GROQ: Self = Self {
        service: "groq",
        parameters: Parameters {
            presence_penalty: None,
            frequency_penalty: None,
            ..Parameters::OPENAI
        },
        efforts: effort(NONE_TO_HIGH),
        tools: Some(Tools::NAMED_FREELY),
        schemas: Schemas::OpenAi,
        images: Some(Files::IMAGE_URL),
        extras: Extras::Except(&[
            "n",
            "logprobs",
            "top_logprobs",
            "logit_bias",
            "store",
            "metadata",
        ]),
        ..Self::plain("groq")
    };

    /// Together (SDK 3.1.1, `completion_create_params.py` and its message parameters): `max_tokens`, top-k, videos
    /// and audio by URL, and `eos` as a finish reason. Its tools have no `strict`.
    pub const TOGETHER: Self = Self {
        service: "together",
        parameters: Parameters {
            max_output_tokens: Some("max_tokens"),
            top_k: Some("top_k"),
            ..Parameters::OPENAI
        },
        efforts: effort(LOW_TO_HIGH),
        tools: Some(Tools {
            strict: false,
            ..Tools::NAMED_FREELY
        }),
        schemas: Schemas::AsIs { strict: None },
        images: Some(Files::IMAGE_URL),
        audio: Some(Files {
            part: FilePart::Url("audio_url"),
            media_types: &[],
            bytes: false,
            ..Files::IMAGE_URL
        }),
        videos: Some(Files {
            part: FilePart::Url("video_url"),
            media_types: &[],
            ..Files::IMAGE_URL
        }),
        finish_reasons: &[("eos", FinishReason::Stop)],
        ..Self::plain("together")
    };

    /// Mistral (SDK 3.7.0, `chatcompletionrequest.py` and its chunks): the batch names the model, `random_seed`,
    /// `any` for a required tool call, images and documents as plain URLs, call ids of nine letters or digits, thinking in
    /// chunks.
    pub const MISTRAL: Self = Self {
        service: "mistral",
        names_model: false,
        parameters: Parameters {
            max_output_tokens: Some("max_tokens"),
            top_k: Some("top_k"),
            seed: Some("random_seed"),
            ..Parameters::OPENAI
        },
        efforts: effort(ALL_LEVELS),
        thoughts: Thoughts::Chunks,
        tools: Some(Tools {
            required: Some("any"),
            // "Tool call id was … but must be a-z, A-Z, 0-9, with a length of 9" (code 3280, public threads).
            call_ids: CallIdRule {
                min_len: 9,
                max_len: 9,
                is_legal: |letter| letter.is_ascii_alphanumeric(),
            },
            // "Function name was … but must be a-z, A-Z, 0-9, or contain underscores and dashes, with a maximum length
            // of 64" (witsy 164, 2025-04-04).
            ..Tools::OPENAI
        }),
        schemas: Schemas::AsIs { strict: Some(true) },
        images: Some(Files {
            part: FilePart::PlainUrl("image_url"),
            ..Files::IMAGE_URL
        }),
        documents: Some(Files {
            part: FilePart::PlainUrl("document_url"),
            media_types: &[],
            ..Files::IMAGE_URL
        }),
        audio: Some(Files {
            part: FilePart::PlainAudio,
            media_types: &[],
            ..Files::IMAGE_URL
        }),
        finish_reasons: &[("model_length", FinishReason::Length)],
        // Codes of public threads, 2025 to 2026. A refused call id is a fault of the request.
        errors: Errors {
            codes: &[
                ("1500", ErrorKind::ModelNotFound, Retry::Permanent),
                ("invalid_model", ErrorKind::ModelNotFound, Retry::Permanent),
                ("3051", ErrorKind::ContextOverflow, Retry::Permanent),
                ("3280", ErrorKind::InvalidInput, Retry::Permanent),
                ("3505", ErrorKind::ProviderOverloaded, Retry::Temporary),
            ],
            flat: false,
            detail: true,
        },
        ..Self::plain("mistral")
    };

    /// Fireworks (SDK 1.2.30, `completion_create_params.py`): the batch names the model, `max_tokens`, top-k, and
    /// rows whose response is the bare chat completion.
    pub const FIREWORKS: Self = Self {
        service: "fireworks",
        names_model: false,
        parameters: Parameters {
            max_output_tokens: Some("max_tokens"),
            top_k: Some("top_k"),
            ..Parameters::OPENAI
        },
        efforts: effort(NONE_TO_HIGH),
        tools: Some(Tools::NAMED_FREELY),
        schemas: Schemas::JsonObject,
        images: Some(Files::IMAGE_URL),
        videos: Some(Files {
            part: FilePart::Url("video_url"),
            media_types: &[],
            ..Files::IMAGE_URL
        }),
        rows: Rows::Bare,
        ..Self::plain("fireworks")
    };

    /// xAI (REST recordings of 2026-08 and its reasoning efforts of 2026): `max_tokens`, documents as `file.url`,
    /// thinking outside of the completion tokens, flat errors. Reasoning models refuse stop and penalties.
    pub const XAI: Self = Self {
        service: "xai",
        parameters: Parameters {
            max_output_tokens: Some("max_tokens"),
            ..Parameters::OPENAI
        },
        efforts: effort(NONE_TO_HIGH),
        tools: Some(Tools {
            strict: false,
            ..Tools::NAMED_FREELY
        }),
        schemas: Schemas::AsIs { strict: Some(true) },
        images: Some(Files {
            media_types: &["image/png", "image/jpeg"],
            ..Files::IMAGE_URL
        }),
        documents: Some(Files {
            part: FilePart::Url("file"),
            media_types: &["application/pdf"],
            bytes: false,
            ..Files::IMAGE_URL
        }),
        thinks_outside_completion: true,
        errors: Errors {
            flat: true,
            ..Errors::OPENAI
        },
        ..Self::plain("xai")
    };
}
