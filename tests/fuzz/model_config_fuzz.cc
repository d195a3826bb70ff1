// Any bytes as a config.json: refused in one line, or written and read again to the same.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/status_macros.h"
#include "policy/model_config.h"

namespace evilmoe {
namespace {

void Fuzz(std::string_view bytes) {
  const absl::StatusOr<Qwen3Config> config = ParseQwen3Config(bytes);
  if (!config.ok()) {
    EVILMOE_CHECK(absl::IsInvalidArgument(config.status()));
    EVILMOE_CHECK(config.status().message().find('\n') == std::string::npos);
    return;
  }
  EVILMOE_CHECK(NumParameters(*config) > 0 && NumParameters(*config) <= int64_t{1} << 40);
  const absl::StatusOr<Qwen3Config> again = ParseQwen3Config(Qwen3ConfigToJson(*config, "float32").dump());
  EVILMOE_CHECK(again.ok());
  EVILMOE_CHECK(*again == *config);
}

}  // namespace
}  // namespace evilmoe

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  evilmoe::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
