// Any bytes as a message between ranks: refused, or the very bytes that the message is written as.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/status_macros.h"
#include "trainer/rank_messages.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<evilmoe::RankMessage> message = evilmoe::DecodeRankMessage(bytes);
  if (message.ok()) EVILMOE_CHECK(evilmoe::EncodeRankMessage(*message) == bytes);
  return 0;
}
