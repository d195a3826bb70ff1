#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/ctl/run_catalog.h"
#include "services/ctl/stack_resources.h"
#include "services/ctl/verb.h"

namespace evilmoe {

// A run's directory on this host: its own, or a folder with what was fetched of it, which goes with this object unless
// somebody named it.
class LocalCopy {
 public:
  // Chooses among all files of the run those that are needed.
  using Choose = std::function<absl::StatusOr<std::vector<RunFileEntry>>(std::span<const RunFileEntry>)>;

  // The copy is <fetch_to>/<run id>; `fetch_to` empty = in a temporary folder. Progress goes to context.errors, as a line that is drawn again where
  // context.out is a terminal. Errors of `choose` and of the coordinator.
  static absl::StatusOr<LocalCopy> Make(const FoundRun& found, const std::filesystem::path& fetch_to,
                                        const Choose& choose, const VerbContext& context);
  const std::filesystem::path& path() const { return path_; }
  bool was_fetched() const { return was_fetched_; }

 private:
  LocalCopy(std::filesystem::path path, bool was_fetched, std::optional<TemporaryFolder> folder)
      : path_(std::move(path)), was_fetched_(was_fetched), folder_(std::move(folder)) {}

  std::filesystem::path path_;
  bool was_fetched_;
  std::optional<TemporaryFolder> folder_;
};

}  // namespace evilmoe
