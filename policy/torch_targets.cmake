# What links LibTorch.
evilmoe_library(NAME qwen3
  SRCS attention.cc packed_batch.cc qwen3.cc qwen3_weights.cc recompute.cc tensor_io.cc token_log_probs.cc
  HDRS attention.h packed_batch.h qwen3.h qwen3_weights.h recompute.h tensor_io.h token_log_probs.h torch_guard.h
  DEPS evilmoe::common evilmoe::model_config evilmoe::safetensors libtorch)
evilmoe_library(NAME lora2r
  SRCS lora2r.cc lora2r_forward.cc lora2r_io.cc router.cc
  HDRS adapter_mode.h lora2r.h lora2r_forward.h router.h
  DEPS evilmoe::qwen3)
evilmoe_library(NAME token_sampler
  SRCS sampler/token_sampler.cc HDRS sampler/token_sampler.h)
evilmoe_library(NAME sampler
  SRCS sampler/sampler.cc sampler/decode_attention.cc HDRS sampler/sampler.h sampler/decode_attention.h
  DEPS evilmoe::qwen3 evilmoe::token_sampler)
# The reductions vectorise only with these; on this file alone.
set_source_files_properties(sampler/decode_attention.cc PROPERTIES
  COMPILE_OPTIONS "-O3;-fopenmp-simd;-fno-math-errno;-fno-trapping-math")
