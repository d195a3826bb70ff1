#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "policy/model_config.h"
#include "services/ctl/device_speed.h"
#include "services/ctl/stack_layout.h"
#include "trainer/run_config.h"

namespace evilmoe {

// What a run will take of memory, time and disk, for `submit --dry-run`: ranges out of a stated model, no promises.

// Completions and prompts are taken to have between this part of their longest and all of it.
inline constexpr double kShortestPart = 0.25;

struct EstimateInput {
  RunConfig config;
  Qwen3Config model;
  std::string model_source;  // where its figures are from: "models/x/config.json"
  int num_cores = 1;
  StackShape stack;                          // a private stack's workers and ranks
  std::optional<int64_t> held_out_problems;  // of evaluation.problems; nullopt: not known
  int64_t pair_tokens = 0;                   // of all pairs, about
};

struct TimeEstimate {
  std::string device;
  bool measured = false;  // else of a data sheet
  bool fits = true;       // the trainer does, with the shortest groups
  bool fits_all = true;   // and with the longest
  Span step_s;
  Span evaluation_s;  // of one evaluation; 0 where there is none
  Span run_s;         // steps and evaluations
};

struct Estimate {
  std::string model_source, dtype;
  double base_parameters = 0, adapter_parameters = 0;
  int steps = 0, prompts = 0, group_size = 0;
  Span completion_tokens;  // of a step
  int num_ranks = 1, num_threads = 1, num_workers = 1;
  Span trainer_bytes;                        // each rank beside its activations
  Span activation_bytes;                     // each thread
  Span worker_bytes;                         // each worker beside its cache
  Span cache_bytes;                          // each worker's keys and values
  double samples_in_cache = 0;               // at a time; below 1: none fits
  Span all_bytes;                            // all processes of the private stack together
  std::optional<double> evaluation_samples;  // of one evaluation; nullopt: the problem file is not there
  double evaluations = 0;
  std::vector<TimeEstimate> times;  // the CPU first
  Span adapters_bytes, checkpoints_bytes, rollouts_bytes;
};

// Pure. `config` must be valid.
Estimate EstimateRun(const EstimateInput& input);

// A few lines for a person, and the assumptions.
std::string EstimateText(const Estimate& estimate);
nlohmann::ordered_json EstimateJson(const Estimate& estimate);

}  // namespace evilmoe
