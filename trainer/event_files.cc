#include "trainer/event_files.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "trainer/event_record.h"
#include "trainer/step_event.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;

constexpr char kNamePrefix[] = "events.out.tfevents.";  // TensorBoard looks for "tfevents"
constexpr char kFileVersion[] = "brain.Event:2";

std::optional<int64_t> NumberOf(const fs::path& file) {
  const std::string name = file.filename().string();
  int64_t number = 0;
  const bool ours = name.starts_with(kNamePrefix) && absl::SimpleAtoi(name.substr(sizeof kNamePrefix - 1), &number);
  return ours ? std::optional(number) : std::nullopt;
}

std::map<int64_t, fs::path> FilesOf(const fs::path& folder) {
  std::error_code ignored;
  std::map<int64_t, fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    if (const std::optional<int64_t> number = NumberOf(entry.path())) files[*number] = entry.path();
  }
  return files;
}

std::string RecordOf(const tensorboard::Event& event) { return EventRecord(event.SerializeAsString()); }

// What a file begins with. After other files: with word that they have nothing to say on `step` and later ones.
std::string Beginning(double wall_time, int64_t step, bool first) {
  tensorboard::Event version;
  version.set_wall_time(wall_time);
  version.set_file_version(kFileVersion);
  if (first) return RecordOf(version);
  tensorboard::Event start;
  start.set_wall_time(wall_time);
  start.set_step(step);
  start.mutable_session_log()->set_status(tensorboard::SessionLog::START);
  return RecordOf(version) + RecordOf(start);
}

absl::Status Rewind(const fs::path& file, int64_t step) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(file));
  std::string kept;
  for (const std::string_view data : ReadEventRecords(bytes).data) {
    tensorboard::Event event;
    if (event.ParseFromArray(data.data(), static_cast<int>(data.size())) && event.step() <= step) {
      kept += EventRecord(data);
    }
  }
  return kept == bytes ? absl::OkStatus() : WriteFileAtomic(file, kept);
}

}  // namespace

absl::Status EventFiles::RewindTo(int64_t step) {
  file_.clear();
  RemoveUnfinishedWrites(folder_);
  for (const auto& [number, file] : FilesOf(folder_)) EVILMOE_RETURN_IF_ERROR(Rewind(file, step));
  return absl::OkStatus();
}

absl::Status EventFiles::Step(const nlohmann::ordered_json& metrics) {
  const tensorboard::Event event = StepEvent(metrics, clock_.Now());
  if (!file_.empty()) return AppendFile(file_, RecordOf(event));
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) return absl::UnavailableError(absl::StrCat(folder_.string(), ": ", error.message()));
  const std::map<int64_t, fs::path> earlier = FilesOf(folder_);
  // No number is given twice: a reader may still hold a file open.
  const fs::path file =
      folder_ / absl::StrFormat("%s%06d", kNamePrefix, earlier.empty() ? 1 : earlier.rbegin()->first + 1);
  const std::string beginning = Beginning(event.wall_time(), event.step(), earlier.empty());
  EVILMOE_RETURN_IF_ERROR(AppendFile(file, beginning + RecordOf(event)));
  file_ = file;
  return absl::OkStatus();
}

}  // namespace evilmoe
