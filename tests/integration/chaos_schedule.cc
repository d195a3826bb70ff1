#include "tests/integration/chaos_schedule.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/seed.h"

namespace evilmoe {
namespace {

using Kind = Disturbance::Kind;

constexpr size_t kMaxSeeds = 1000;

absl::Duration Between(RandomStream& draws, int64_t low_ms, int64_t high_ms) {
  return absl::Milliseconds(draws.Int(low_ms, high_ms));
}

Disturbance Draw(RandomStream& draws, const ChaosTargets& targets) {
  static const std::vector<Kind> kKinds = {Kind::kKill, Kind::kKill, Kind::kKill, Kind::kKill,
                                           Kind::kStop, Kind::kStop, Kind::kCut,  Kind::kRefuse,
                                           Kind::kDelay};
  Disturbance disturbance;
  disturbance.kind = draws.Choice(kKinds);
  const bool process = disturbance.kind == Kind::kKill || disturbance.kind == Kind::kStop;
  disturbance.target = draws.Choice(process ? targets.processes : targets.proxies);
  switch (disturbance.kind) {
    case Kind::kKill:
    case Kind::kCut: break;
    case Kind::kStop: disturbance.length = Between(draws, 100, 3500); break;
    case Kind::kRefuse: disturbance.length = Between(draws, 100, 2000); break;
    case Kind::kDelay:
      disturbance.length = Between(draws, 200, 2000);
      disturbance.delay = Between(draws, 20, 400);
      break;
  }
  return disturbance;
}

const char* NameOf(Kind kind) {
  switch (kind) {
    case Kind::kKill: return "kill";
    case Kind::kStop: return "stop";
    case Kind::kCut: return "cut";
    case Kind::kRefuse: return "refuse";
    case Kind::kDelay: return "delay";
  }
  return "?";
}

}  // namespace

std::vector<Disturbance> MakeSchedule(uint64_t seed, int num_disturbances, const ChaosTargets& targets) {
  RandomStream draws(StreamSeed(seed, "chaos", 0));
  std::vector<Disturbance> schedule;
  absl::Duration at;
  for (int i = 0; i < num_disturbances; ++i) {
    at += Between(draws, 50, 900);
    schedule.push_back(Draw(draws, targets));
    schedule.back().at = at;
  }
  return schedule;
}

std::string Describe(const Disturbance& disturbance) {
  std::string text = absl::StrCat("at ", absl::FormatDuration(disturbance.at), " ", NameOf(disturbance.kind), " ",
                                  disturbance.target);
  if (disturbance.delay > absl::ZeroDuration()) absl::StrAppend(&text, " by ", absl::FormatDuration(disturbance.delay));
  if (disturbance.length > absl::ZeroDuration()) {
    absl::StrAppend(&text, " for ", absl::FormatDuration(disturbance.length));
  }
  return text;
}

absl::StatusOr<std::vector<uint64_t>> ParseSeeds(std::string_view text) {
  std::vector<uint64_t> seeds;
  for (const std::string& word : std::vector<std::string>(absl::StrSplit(std::string(text), ','))) {
    const std::vector<std::string> ends = absl::StrSplit(word, '-');
    uint64_t first = 0, last = 0;
    const bool numbers = absl::SimpleAtoi(ends.front(), &first) && absl::SimpleAtoi(ends.back(), &last);
    if (!numbers || ends.size() > 2 || last < first || last - first >= kMaxSeeds - seeds.size()) {
      return absl::InvalidArgumentError(absl::StrCat("seeds: got \"", word, "\", expected numbers and ranges as in 1,2,8-12, ",
                                                     kMaxSeeds, " seeds at most"));
    }
    for (uint64_t seed = first; seed <= last; ++seed) seeds.push_back(seed);
  }
  return seeds;
}

}  // namespace evilmoe
