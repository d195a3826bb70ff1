#include "common/output_file.h"

#include <system_error>

#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;

// One spelling for all names of a file, whether it exists or not.
fs::path Resolved(const fs::path& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  const fs::path resolved = fs::weakly_canonical(absolute, error);
  return error ? absolute : resolved;
}

}  // namespace

absl::Status PrepareOutputFile(std::string_view option, const fs::path& path, std::span<const fs::path> others) {
  const auto bad = [option](const fs::path& at, std::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(option), ": ", at.string(), ": ", std::string(why)));
  };
  std::error_code error;
  if (fs::is_directory(path, error)) return bad(path, "a folder, expected the name of a file");
  if (fs::exists(path, error) && !fs::is_regular_file(path, error)) {
    return bad(path, "a device or a pipe, expected the name of a file: it would be replaced by one");
  }
  for (const fs::path& other : others) {
    if (Resolved(path) == Resolved(other))
      return bad(path, "is another file of this command, expected a name of its own: one would be lost");
  }
  error.clear();
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  return error ? bad(path.parent_path(), error.message()) : absl::OkStatus();
}

}  // namespace evilmoe
