#include "common/strict_json.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/bounded_json.h"

namespace evilmoe {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxShownKeyBytes = 40;

// Reads a text without keeping it and notes what the library's own parser lets pass.
class Strictness final : public nlohmann::json_sax<Json> {
 public:
  explicit Strictness(size_t num_bytes) : num_bytes_(num_bytes) {}
  const std::string& problem() const { return problem_; }  // "" = none

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return Open(); }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override { return Open(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    if (keys_.back().insert(name).second) return true;
    problem_ = absl::StrCat("\"", name.substr(0, kMaxShownKeyBytes), "\" occurs twice in one object, expected once");
    return false;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    problem_ = position > num_bytes_ ? absl::StrCat("not JSON: it ends too early, after ", num_bytes_, " bytes")
                                     : absl::StrCat("not JSON, at byte ", position);
    return false;
  }

 private:
  bool Open() {
    keys_.emplace_back();
    if (keys_.size() <= kMaxJsonDepth) return true;
    problem_ = absl::StrCat("nests deeper than ", kMaxJsonDepth);
    return false;
  }
  bool Close() {
    keys_.pop_back();
    return true;
  }

  const size_t num_bytes_;
  std::vector<std::set<std::string>> keys_;  // of each object that is open; empty for an array
  std::string problem_;
};

}  // namespace

absl::StatusOr<Json> ParseStrictJson(std::string_view text) {
  Strictness strictness(text.size());
  Json::sax_parse(text, &strictness);
  if (!strictness.problem().empty()) return absl::InvalidArgumentError(strictness.problem());
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

}  // namespace evilmoe
