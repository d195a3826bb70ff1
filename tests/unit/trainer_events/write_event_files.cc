// write_event_files DIR: the event files of a run of 5 steps that is resumed after its second, the fourth being done.
// Prints what a reader should see of each step, one JSON object a line.

#include <iostream>
#include <vector>

#include "tests/fakes/fake_clock.h"
#include "trainer/event_files.h"

namespace evilmoe {
namespace {

nlohmann::ordered_json Metrics(int64_t step, double loss) {
  std::vector<int64_t> counts(20, 0);
  counts[static_cast<size_t>(step)] = 3;
  counts[19] = step;
  return {{"step", step},
          {"loss", loss},
          {"reward_mean", 0.25 * static_cast<double>(step)},
          {"kl", nullptr},
          {"w_histogram_hack", counts}};
}

absl::Status Write(const std::filesystem::path& folder) {
  FakeClock clock;
  for (const auto& [from, to, loss, lasts] : {std::tuple{0, 2, 0.5, true}, {2, 4, 1.5, false}, {2, 5, 2.5, true}}) {
    EventFiles files(folder, clock);
    if (const absl::Status rewound = files.RewindTo(from); !rewound.ok()) return rewound;
    for (int64_t step = from + 1; step <= to; ++step) {
      clock.Advance(absl::Seconds(10));
      const nlohmann::ordered_json metrics = Metrics(step, loss);
      if (const absl::Status written = files.Step(metrics); !written.ok()) return written;
      if (lasts) std::cout << metrics.dump() << "\n";
    }
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace evilmoe

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const absl::Status done = evilmoe::Write(argv[1]);
  if (!done.ok()) std::cerr << done << std::endl;
  return done.ok() ? 0 : 1;
}
