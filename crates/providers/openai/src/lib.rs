//! The OpenAI adapter of lmbatch.
