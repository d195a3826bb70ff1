# What links LibTorch or feeds what does.
evilmoe_library(NAME advantages SRCS advantages.cc overlong_penalty.cc HDRS advantages.h overlong_penalty.h
  DEPS evilmoe::common)
evilmoe_library(NAME step_metrics SRCS step_metrics.cc ablation_statistics.cc HDRS step_metrics.h ablation_statistics.h
  DEPS evilmoe::common)
evilmoe_library(NAME trainer_device SRCS device_report.cc trainer_device.cc HDRS device_report.h trainer_device.h
  DEPS evilmoe::common absl::statusor libtorch)
evilmoe_library(NAME optimizer SRCS optimizer.cc HDRS optimizer.h DEPS evilmoe::common libtorch)
evilmoe_library(NAME policy_step
  SRCS fixed_gate.cc learned_gate.cc make_adapter.cc make_gate.cc policy_batch.cc policy_loss.cc policy_passes.cc
       policy_shard.cc policy_step.cc rollout_gate.cc score_window.cc step_update.cc
       token_expert_adapter.cc two_expert_adapter.cc
  HDRS collective.h fixed_gate.h learned_gate.h make_adapter.h make_gate.h policy_batch.h policy_loss.h policy_passes.h
       policy_shard.h policy_step.h rollout_gate.h score_window.h step_stats.h step_update.h
       token_expert_adapter.h train_samples.h trained_adapter.h two_expert_adapter.h
  DEPS evilmoe::advantages evilmoe::lora2r evilmoe::mixlora evilmoe::optimizer evilmoe::run_config evilmoe::step_memory)
evilmoe_library(NAME event_files
  SRCS event_files.cc event_record.cc step_event.cc HDRS event_files.h event_record.h step_event.h
  DEPS evilmoe::common evilmoe::tensorboard_proto nlohmann_json::nlohmann_json PRIVATE_DEPS PkgConfig::ISAL)
# Ranks. c10d's header of Gloo wants headers that LibTorch does not ship (gloo_headers/README.md).
evilmoe_library(NAME c10d_collective SRCS c10d_collective.cc rank_store.cc HDRS c10d_collective.h rank_store.h
  DEPS evilmoe::policy_step libtorch)
set_source_files_properties(c10d_collective.cc PROPERTIES COMPILE_OPTIONS
  "-isystem;${CMAKE_CURRENT_SOURCE_DIR}/gloo_headers;-DUSE_C10D_GLOO")
evilmoe_library(NAME rank_launcher SRCS rank_launcher.cc rank_link.cc HDRS rank_launcher.h rank_link.h
  DEPS evilmoe::common PRIVATE_DEPS evilmoe::c10d_collective)
# Each kind of monitor links only what it may read; none of these has labels.
evilmoe_library(NAME monitor SRCS monitor.cc HDRS monitor.h DEPS evilmoe::common)
evilmoe_library(NAME judge
  SRCS http_post.cc judge_cache.cc judge_caller.cc judge_monitor.cc
  HDRS http_post.h judge_cache.h judge_caller.h judge_monitor.h
  DEPS evilmoe::judge_prompt evilmoe::monitor evilmoe::run_config evilmoe::tokenizer PRIVATE_DEPS PkgConfig::CURL)
evilmoe_library(NAME probe
  SRCS logistic_regression.cc probe.cc probe_evaluation.cc probe_features.cc probe_monitor.cc
  HDRS logistic_regression.h probe.h probe_evaluation.h probe_features.h probe_monitor.h
  DEPS evilmoe::monitor evilmoe::policy_step evilmoe::qwen3 evilmoe::step_metrics)
evilmoe_library(NAME pretrain
  SRCS pretrain.cc pretrain_config.cc HDRS pretrain.h pretrain_config.h
  DEPS evilmoe::chat_template evilmoe::optimizer evilmoe::policy_step evilmoe::qwen3 evilmoe::tokenizer PRIVATE_DEPS evilmoe::yaml)
if(TARGET evilmoe_pairs)
  evilmoe_library(NAME training
    SRCS ablation.cc checkpoint.cc graded_step.cc ground_truth_monitor.cc inoculation.cc monitoring.cc prompt_source.cc
         relearn.cc replay.cc replay_verb.cc run_recorder.cc run_trace.cc sampled_step.cc saved_rollouts.cc training_loop.cc training_model.cc
         rank_follower.cc rank_leader.cc same_parameters.cc
    HDRS ablation.h checkpoint.h graded_step.h ground_truth_monitor.h inoculation.h monitoring.h prompt_source.h relearn.h replay.h
         replay_verb.h rollouts.h run_recorder.h run_trace.h sampled_step.h saved_rollouts.h training_loop.h training_model.h
         rank_follower.h rank_leader.h same_parameters.h
    DEPS evilmoe::advantages evilmoe::chat_template evilmoe::event_files evilmoe::judge evilmoe::labels evilmoe::loophole evilmoe::optimizer evilmoe::pairs
         evilmoe::policy_step evilmoe::probe evilmoe::rank_messages evilmoe::step_metrics evilmoe::token_sampler
         evilmoe::tokenizer
    PRIVATE_DEPS evilmoe::zstd_text PkgConfig::ZSTD)
  evilmoe_library(NAME export_verb
    SRCS export_folder.cc export_source.cc export_verb.cc HDRS export_folder.h export_source.h export_verb.h
    DEPS evilmoe::lora2r evilmoe::training PRIVATE_DEPS evilmoe::yaml)
endif()
if(EVILMOE_WITH_GRPC AND TARGET evilmoe_training)
  evilmoe_library(NAME training_job
    SRCS coordinator_rollouts_client.cc job_control.cc job_heartbeat.cc rollout_translation.cc trainer_config.cc
         trainer_metrics.cc training_job_client.cc
    HDRS coordinator_rollouts_client.h job_control.h job_heartbeat.h rollout_translation.h trainer_config.h
         trainer_metrics.h training_job_client.h
    DEPS evilmoe::coordinator_client evilmoe::training prometheus-cpp::core 
    PRIVATE_DEPS evilmoe::weights_fingerprint evilmoe::yaml)
  evilmoe_binary(NAME evilmoe-trainer SRCS main.cc serve.cc software_report.cc
    DEPS evilmoe::build_info evilmoe::c10d_collective evilmoe::export_verb evilmoe::metrics_server evilmoe::pretrain evilmoe::rank_launcher
      evilmoe::trainer_device evilmoe::training_job evilmoe::parse_arguments CLI11::CLI11)
endif()
