#include "environment/problem_place.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "common/line_reader.h"
#include "common/strict_json.h"

namespace evilmoe {

std::string PlaceOfProblem(const std::filesystem::path& file, int64_t id) {
  absl::StatusOr<LineReader> reader = LineReader::Open(file);
  while (reader.ok()) {
    const absl::StatusOr<std::optional<LineReader::Line>> line = reader->Next();
    if (!line.ok() || !line->has_value()) break;
    const absl::StatusOr<nlohmann::json> json = ParseStrictJson((*line)->text);
    if (!json.ok() || !json->is_object()) continue;
    const auto found = json->find("id");
    if (found != json->end() && *found == id) return absl::StrCat(file.string(), ": line ", (*line)->number);
  }
  return file.string();
}

}  // namespace evilmoe
