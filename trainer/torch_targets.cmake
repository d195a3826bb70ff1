# What links LibTorch or feeds what does.
evilmoe_library(NAME advantages SRCS advantages.cc HDRS advantages.h DEPS evilmoe::common)
evilmoe_library(NAME step_metrics SRCS step_metrics.cc ablation_statistics.cc HDRS step_metrics.h ablation_statistics.h
  DEPS evilmoe::common)
evilmoe_library(NAME optimizer SRCS optimizer.cc HDRS optimizer.h DEPS evilmoe::common libtorch)
evilmoe_library(NAME policy_step
  SRCS policy_batch.cc policy_step.cc HDRS policy_batch.h policy_step.h train_samples.h
  DEPS evilmoe::lora2r evilmoe::run_config)
evilmoe_library(NAME pretrain
  SRCS pretrain.cc pretrain_config.cc HDRS pretrain.h pretrain_config.h
  DEPS evilmoe::optimizer evilmoe::policy_step evilmoe::qwen3 evilmoe::tokenizer PRIVATE_DEPS evilmoe::yaml)
