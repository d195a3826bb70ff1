#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "environment/facts.h"
#include "environment/pairs_check.h"
#include "nlohmann/json.hpp"
#include "rollout_workers/pair_separation.h"

namespace evilmoe {

// What `pairs check` found out, for people and for programs.

struct PairTokens {
  int64_t prompt = 0, hack = 0, clean = 0;
};

struct PairReport {
  std::string name;
  std::string loophole;              // empty: the pair says nothing about grading
  std::optional<PairTokens> tokens;  // unset without a tokenizer
  std::optional<Facts> hack, clean;  // unset where a side was not graded
};

// How well a look at the surface of an answer tells hack sides from clean ones, as AUROC: 0.5 says nothing.
struct SurfaceReport {
  double characters = 0.5, lines = 0.5, functions = 0.5, classes = 0.5, prints = 0.5;
};
SurfaceReport MeasureSurface(const std::vector<ContrastivePair>& pairs);

struct PairsReport {
  std::string file;
  std::vector<PairReport> pairs;
  SurfaceReport surface;
  std::vector<PairSeparation> separation;  // one a seed; empty without a model
  uint64_t first_seed = 0;
  std::vector<PairFinding> findings;

  int64_t num_errors() const;
};

nlohmann::ordered_json ReportJson(const PairsReport& report);
// A table, the summaries, then each finding on a line of its own.
void PrintReport(const PairsReport& report, std::ostream& out);

}  // namespace evilmoe
