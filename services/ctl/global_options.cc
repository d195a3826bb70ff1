#include "services/ctl/global_options.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/yaml_reader.h"

namespace evilmoe {
namespace {

void ReadText(YamlSection& root, const char* name, std::optional<std::string>* value) {
  std::string text;
  root.Field(name, &text);
  if (!text.empty()) *value = text;
}

void ReadPath(YamlSection& root, const char* name, const std::filesystem::path& folder,
              std::optional<std::string>* value) {
  std::filesystem::path path;
  root.Field(name, &path);
  if (!path.empty()) *value = (folder / path).lexically_normal().string();
}

}  // namespace

absl::StatusOr<GivenOptions> ParseCtlConfig(std::string_view yaml, const std::string& file_name,
                                            const std::filesystem::path& folder) {
  GivenOptions given;
  YamlReader reader(yaml, file_name);
  YamlSection root = reader.Root();
  ReadText(root, "endpoint", &given.endpoint);
  ReadPath(root, "token-file", folder, &given.token_file);
  ReadPath(root, "ca", folder, &given.ca);
  ReadPath(root, "certificate", folder, &given.certificate);
  ReadPath(root, "key", folder, &given.key);
  std::string output = "table";
  bool no_color = false;
  root.Field("output", &output).OneOf({"table", "json"});
  root.Field("no-color", &no_color);
  EVILMOE_RETURN_IF_ERROR(reader.Finish());
  given.output = output;
  given.no_color = no_color;
  return given;
}

std::filesystem::path CtlConfigFile() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::filesystem::path(value == nullptr ? "" : value);
  };
  if (const std::filesystem::path xdg = variable("XDG_CONFIG_HOME"); xdg.is_absolute()) {
    return xdg / "evilmoe" / "ctl.yaml";
  }
  const std::filesystem::path home = variable("HOME");
  return home.empty() ? home : home / ".config" / "evilmoe" / "ctl.yaml";
}

absl::StatusOr<GivenOptions> ReadCtlConfig() {
  const std::filesystem::path file = CtlConfigFile();
  std::error_code ignored;
  if (file.empty() || !std::filesystem::exists(file, ignored)) return GivenOptions{};
  EVILMOE_ASSIGN_OR_RETURN(const std::string yaml, ReadFile(file, size_t{1} << 16));
  return ParseCtlConfig(yaml, file.string(), file.parent_path());
}

absl::StatusOr<GlobalOptions> ResolveOptions(const GivenOptions& words, const GivenOptions& file) {
  const bool other = words.endpoint.has_value() && words.endpoint != file.endpoint;
  const auto pick = [](const std::optional<std::string>& first, const std::optional<std::string>& second) {
    return first.value_or(second.value_or(""));
  };
  const auto secret = [&](const std::optional<std::string>& first, const std::optional<std::string>& second) {
    return other ? first.value_or("") : pick(first, second);
  };
  GlobalOptions options;
  options.endpoint = {pick(words.endpoint, file.endpoint), secret(words.token_file, file.token_file),
                      secret(words.ca, file.ca), secret(words.certificate, file.certificate),
                      secret(words.key, file.key)};
  options.json = pick(words.output, file.output) == "json";
  options.color = !words.no_color.value_or(file.no_color.value_or(false));
  if (options.endpoint.certificate.empty() != options.endpoint.key.empty()) {
    return absl::InvalidArgumentError("--certificate and --key: got one of them, expected both or none");
  }
  return options;
}

}  // namespace evilmoe
