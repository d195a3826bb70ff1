#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>

#include "policy/sampler/token_sampler.h"

namespace evilmoe {

// The offline verbs of the policy: JSON lines in, JSON lines out, same order (interfaces.md, "Offline verbs"). A bad
// line gives {"line": n, "error": "..."} in place. Both return the exit code: 0; 1 when a line was bad; 2 when the
// model or the adapter is unusable, 4 when it is not there (one line on `errors`).

struct PolicySource {
  std::filesystem::path model;    // folder with config.json, tokenizer.json, *.safetensors
  std::filesystem::path adapter;  // safetensors file; empty = none
  double w = 1.0;                 // of the adapter, [0, 1]
  bool scope_all = false;         // w acts everywhere, not from the last prompt token on
  int threads = 1;
};

// {"ids", "start"} -> {"logprobs"}: log p(ids[t] given ids[:t]) for t >= start (>= 1), at temperature 1.
int RunScore(const PolicySource& source, std::istream& in, std::ostream& out, std::ostream& errors);

struct GenerateOptions {
  SamplingSettings sampling;  // stop_ids are filled in from the model unless ignore_eos
  uint64_t seed = 0;
  int num_samples = 1;
  int batch = 64;  // samples at a time
  bool thinking = false;
  bool ignore_eos = false;
};

// {"messages"} | {"prompt"} | {"ids"} -> {"ids", "text", "logprobs", "finish_reason"} a sample, and a summary line
// with tokens/s on `errors`.
int RunGenerate(const PolicySource& source, const GenerateOptions& options, std::istream& in, std::ostream& out,
                std::ostream& errors);

}  // namespace evilmoe
