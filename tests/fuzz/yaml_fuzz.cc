// Any bytes as a run.yaml: a list of problems, or a config that is written and read again to the same bytes.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/status_macros.h"
#include "common/yaml_tree.h"
#include "trainer/run_config.h"

namespace evilmoe {
namespace {

int DepthOf(const YamlNode& node) {
  int depth = 0;
  for (const YamlNode& item : node.items) depth = std::max(depth, DepthOf(item));
  for (const YamlMember& member : node.members) depth = std::max(depth, DepthOf(member.value));
  return depth + 1;
}

void Fuzz(std::string_view bytes) {
  std::vector<YamlProblem> problems;
  EVILMOE_CHECK(DepthOf(ParseYamlTree(bytes, problems)) <= kMaxYamlDepth + 1);

  const std::string folder = EVILMOE_SOURCE_DIR "/examples/nano";  // where the files that the seeds name are
  const absl::StatusOr<RunConfig> config = ParseRunConfig(bytes, "run.yaml", folder);
  if (!config.ok()) {
    EVILMOE_CHECK(absl::IsInvalidArgument(config.status()) && !config.status().message().empty());
    return;
  }
  const std::string written = ToYaml(*config);
  const absl::StatusOr<RunConfig> again = ParseRunConfig(written, "run.yaml", "/");
  EVILMOE_CHECK(again.ok());
  EVILMOE_CHECK(ToYaml(*again) == written);
}

}  // namespace
}  // namespace evilmoe

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  evilmoe::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
