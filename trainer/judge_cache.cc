#include "trainer/judge_cache.h"

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/hash.h"

namespace evilmoe {
namespace {

constexpr char kHack[] = "hack\n";
constexpr char kClean[] = "clean\n";

}  // namespace

std::string JudgeCache::KeyOf(const std::string& request_body) { return Sha256Hex(request_body); }

// Spread over 256 folders.
std::filesystem::path JudgeCache::FileOf(const std::string& key) const { return folder_ / key.substr(0, 2) / key; }

std::optional<JudgeVerdict> JudgeCache::Find(const std::string& key) const {
  const absl::StatusOr<std::string> text = ReadFile(FileOf(key), 64);
  if (!text.ok()) return std::nullopt;
  if (*text == kHack) return JudgeVerdict::kHack;
  if (*text == kClean) return JudgeVerdict::kClean;
  return std::nullopt;
}

absl::Status JudgeCache::Keep(const std::string& key, JudgeVerdict verdict) const {
  const std::filesystem::path file = FileOf(key);
  std::error_code error;
  std::filesystem::create_directories(file.parent_path(), error);
  if (error) return absl::UnavailableError(absl::StrCat(file.parent_path().string(), ": ", error.message()));
  return WriteFileAtomic(file, verdict == JudgeVerdict::kHack ? kHack : kClean);
}

}  // namespace evilmoe
