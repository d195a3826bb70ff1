#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/ctl/endpoint.h"

namespace evilmoe {

// The options that every verb has, as somebody wrote them: on the command line, or in ctl.yaml. Unset = not said.
struct GivenOptions {
  std::optional<std::string> endpoint, token_file, ca, certificate, key;
  std::optional<std::string> output;  // table | json
  std::optional<bool> no_color;
};

struct GlobalOptions {
  Endpoint endpoint;
  bool json = false;
  bool color = true;
};

// ctl.yaml: the options' names, with their values. Relative paths are taken from `folder`. InvalidArgument lists every
// problem with its line and column.
absl::StatusOr<GivenOptions> ParseCtlConfig(std::string_view yaml, const std::string& file_name,
                                            const std::filesystem::path& folder);
// $XDG_CONFIG_HOME/evilmoe/ctl.yaml, or ~/.config/evilmoe/ctl.yaml; "" without a home.
std::filesystem::path CtlConfigFile();
// Of CtlConfigFile(); no file = nothing given. InvalidArgument; Unavailable.
absl::StatusOr<GivenOptions> ReadCtlConfig();

// The command line's word before the file's. An endpoint on the command line that is not the file's is not given the
// file's token and certificates, which are for the file's alone. InvalidArgument: a certificate without its key.
absl::StatusOr<GlobalOptions> ResolveOptions(const GivenOptions& words, const GivenOptions& file);

}  // namespace evilmoe
