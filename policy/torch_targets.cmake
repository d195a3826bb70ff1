# Without torch: the inner loops of sampler and training pass, once for each instruction set, and what is built of them.
set(kernel_sources sampler/kernels.cc sampler/kernels_baseline.cc)
set(fused_sources fused/kernels.cc fused/kernels_baseline.cc fused/low_rank_linear.cc fused/segment_attention.cc)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND kernel_sources sampler/kernels_avx2.cc sampler/kernels_avx512.cc)
  list(APPEND fused_sources fused/kernels_avx2.cc fused/kernels_avx512.cc)
endif()
evilmoe_library(NAME sampler_kernels SRCS ${kernel_sources} HDRS sampler/kernels.h sampler/kernels_impl.h simd.h)
evilmoe_library(NAME fused_kernels
  SRCS ${fused_sources}
  HDRS fused/kernels.h fused/kernels_impl.h fused/low_rank_linear.h fused/segment_attention.h simd.h)
# Optimised in every build type: unoptimised, a function of the standard library could be emitted with instructions
# that the rest of the program must not meet. Sums vectorise by hand, so nothing here reorders them.
set(kernel_flags -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math)
set(avx512_flags -mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mavx2;-mfma)
foreach(folder sampler fused)
  set_source_files_properties(${folder}/kernels_baseline.cc PROPERTIES COMPILE_OPTIONS "${kernel_flags}")
  set_source_files_properties(${folder}/kernels_avx2.cc PROPERTIES COMPILE_OPTIONS "${kernel_flags};-mavx2;-mfma")
endforeach()
set_source_files_properties(fused/kernels_avx512.cc PROPERTIES COMPILE_OPTIONS "${kernel_flags};${avx512_flags}")
set_source_files_properties(sampler/kernels_avx512.cc PROPERTIES COMPILE_OPTIONS
  "${kernel_flags};${avx512_flags};-mavx512bf16")
# What links LibTorch.
evilmoe_library(NAME qwen3
  SRCS attention.cc fused/ops.cc packed_batch.cc qwen3.cc qwen3_weights.cc recompute.cc tensor_io.cc token_log_probs.cc
  HDRS attention.h fused/ops.h memory_watch.h packed_batch.h qwen3.h qwen3_weights.h recompute.h tensor_io.h token_log_probs.h torch_guard.h
  DEPS evilmoe::common evilmoe::fused_kernels evilmoe::model_config evilmoe::safetensors libtorch)
evilmoe_library(NAME lora2r
  SRCS lora2r.cc lora2r_forward.cc lora2r_io.cc peft_export.cc router.cc routing.cc
  HDRS adapter_mode.h lora2r.h lora2r_forward.h peft_export.h router.h routing.h
  DEPS evilmoe::adapter_metadata evilmoe::qwen3)
evilmoe_library(NAME mixlora
  SRCS mixlora.cc mixlora_forward.cc mixlora_io.cc HDRS mixlora.h mixlora_forward.h
  DEPS evilmoe::adapter_metadata evilmoe::qwen3)
evilmoe_library(NAME token_sampler
  SRCS sampler/token_sampler.cc sampler/fast_token_sampler.cc
  HDRS sampler/token_sampler.h sampler/fast_token_sampler.h
  DEPS evilmoe::common evilmoe::sampler_kernels)
evilmoe_library(NAME sampler
  SRCS sampler/batch_forward.cc sampler/expert_sampler.cc sampler/kv_pool.cc sampler/packed_matrix.cc sampler/packed_model.cc
       sampler/row_attention.cc sampler/sample_group.cc sampler/sampler.cc
  HDRS sampler/batch_forward.h sampler/bfloat16.h sampler/expert_sampler.h sampler/group_sampler.h sampler/kv_pool.h
       sampler/packed_matrix.h sampler/packed_model.h
       sampler/row_attention.h sampler/sample_group.h sampler/sampler.h
  DEPS evilmoe::lora2r evilmoe::mixlora evilmoe::token_sampler)
# GCC alone: clang would bring an OpenMP of its own beside the wheel's libgomp, which the rpath finds first.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set_source_files_properties(sampler/batch_forward.cc PROPERTIES COMPILE_OPTIONS "-fopenmp"
    SKIP_PRECOMPILE_HEADERS ON)  # other flags than the precompiled header has
  target_link_options(evilmoe_sampler PUBLIC -fopenmp)
endif()
evilmoe_library(NAME reference_sampler
  SRCS sampler/reference_sampler.cc HDRS sampler/reference_sampler.h DEPS evilmoe::sampler)
