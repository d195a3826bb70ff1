#include "trainer/run_config.h"

#include "absl/strings/str_cat.h"
#include "common/yaml_reader.h"
#include "common/yaml_writer.h"
#include "trainer/arm_presets.h"
#include "trainer/run_fields.h"
#include "trainer/run_file.h"

namespace evilmoe {

using run_fields::RunFields;

bool IsRouted(const RunConfig& config) { return config.routing.mode != "none" && HasQuarantine(config); }

bool HasQuarantine(const RunConfig& config) { return config.routing.mode != "per_token"; }

bool NeedsPairs(const RunConfig& config) {
  const std::string& mode = config.routing.mode;
  const bool fixed = mode == "fixed_activation" || mode == "fixed_gradient";
  return mode == "learned" || (fixed && config.router.direction == "pairs");
}

absl::Status RunConfig::Validate() const {
  YamlReader nothing("", "");
  RunConfig copy = *this;
  RunFields(nothing.Root(), &copy, {});
  return nothing.Finish();
}

absl::StatusOr<RunFile> ParseRunFile(std::string_view yaml, const std::string& file_name,
                                     const std::filesystem::path& base_folder, const RunFileOptions& options) {
  YamlReader reader(yaml, file_name);
  for (const auto& [path, value] : options.overrides) reader.Override(path, value, "--set");
  RunFile file;
  // Known before the fields are read, since the arm decides what lies under them.
  file.config.arm = reader.Peek("arm").value_or(file.config.arm);
  if (const ArmPreset* arm = FindArm(file.config.arm)) {
    for (const auto& [path, value] : arm->fields)
      reader.Default(path, value, absl::StrCat("arm ", file.config.arm, ":"));
  }
  std::error_code error;
  const std::filesystem::path base = std::filesystem::absolute(base_folder, error);
  if (error) return absl::InvalidArgumentError(absl::StrCat(base_folder.string(), ": ", error.message()));
  RunFields(reader.Root(), &file.config, {base, options.files_may_be_missing ? &file.missing : nullptr});
  if (absl::Status status = reader.Finish(); !status.ok()) return status;
  for (const YamlReader::Overridden& field : reader.overridden()) {
    file.notices.push_back(absl::StrCat(field.where, field.path, ": ", field.value, " overrides ", file.config.arm,
                                        "'s ", field.default_value));
  }
  return file;
}

absl::StatusOr<RunConfig> ParseRunConfig(std::string_view yaml, const std::string& file_name,
                                         const std::filesystem::path& base_folder,
                                         const std::vector<Override>& overrides) {
  absl::StatusOr<RunFile> file = ParseRunFile(yaml, file_name, base_folder, {.overrides = overrides});
  if (!file.ok()) return file.status();
  return std::move(file->config);
}

std::string ToYaml(const RunConfig& config) {
  std::string text;
  RunConfig copy = config;
  RunFields(YamlWriter(text), &copy, {});
  return text;
}

}  // namespace evilmoe
