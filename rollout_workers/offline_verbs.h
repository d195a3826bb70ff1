#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "policy/lora2r.h"
#include "policy/qwen3_weights.h"
#include "policy/sampler/kernels.h"
#include "policy/sampler/token_sampler.h"

namespace evilmoe {

// The offline verbs of the policy: JSON lines in, JSON lines out, same order. A bad line gives {"line": n, "error":
// "..."} in place. Both return the exit code: 0; 1 when a line was bad; 4 when the model or the adapter is not
// there, 2 when it is unusable (one line on `errors`).

struct PolicySource {
  std::filesystem::path model;    // folder with config.json, tokenizer.json, *.safetensors
  std::filesystem::path adapter;  // safetensors file, or the checkpoint folder that holds it; empty = none
  double w = 1.0;                 // of the adapter's quarantine, [0, 1]
  bool scope_all = false;         // w acts everywhere, not from the last prompt token on
  NumberFormat format = NumberFormat::kFloat32;  // of the weights
  int threads = 1;
};

struct LoadedPolicy {
  Qwen3Weights weights;
  std::unique_ptr<Lora2r> adapter;  // null: none
};
// NotFound, InvalidArgument or DataLoss: one line that names the file. Sets LibTorch's threads.
absl::StatusOr<LoadedPolicy> LoadPolicy(const PolicySource& source);

// {"ids", "start"} -> {"logprobs"}: log p(ids[t] given ids[:t]) for t >= start (>= 1), at temperature 1.
int RunScore(const PolicySource& source, std::istream& in, std::ostream& out, std::ostream& errors);

struct GenerateOptions {
  SamplingSettings sampling;  // stop_ids are filled in from the model unless ignore_eos
  uint64_t seed = 0;
  int num_samples = 1;
  int batch = 64;  // samples at a time
  int64_t kv_cache_mib = 1024;
  NumberFormat kv_format = NumberFormat::kFloat32;
  bool thinking = false;
  bool ignore_eos = false;
  bool unmerged = false;      // the adapter beside the weights, not merged into them
  bool reference = false;     // the slow definition in place of the fast sampler
  bool all_logprobs = false;  // adds "logprobs_t1" and "logprobs_truncated"
};

// {"messages"} | {"prompt"} | {"ids"} -> {"ids", "text", "logprobs", "finish_reason"} a sample, and a summary line with
// tokens/s on `errors`. Lines that can be read without waiting are sampled together.
int RunGenerate(const PolicySource& source, const GenerateOptions& options, std::istream& in, std::ostream& out,
                std::ostream& errors);

// One line, and the exit code (4: something is not there; else 2), for an error that ends a verb before it has begun.
int FailVerb(const absl::Status& status, std::ostream& errors);

}  // namespace evilmoe
