//! Batch inference for language models: exactly one outcome per request.
