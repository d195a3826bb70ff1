#include "services/runs/ulid.h"

#include <sys/random.h>

#include <algorithm>

#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr std::string_view kAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr size_t kLength = 26;

}  // namespace

std::string MakeUlid(absl::Time time, const std::array<uint8_t, 10>& entropy) {
  const uint64_t ms = static_cast<uint64_t>(std::max<int64_t>(0, absl::ToUnixMillis(time)));
  std::array<uint8_t, 16> bytes;
  for (size_t i = 0; i < 6; ++i) bytes[i] = static_cast<uint8_t>(ms >> (8 * (5 - i)));
  std::copy(entropy.begin(), entropy.end(), bytes.begin() + 6);
  // 26 letters hold 130 bits: two zero bits stand in front of the 128.
  std::string text;
  uint32_t window = 0;
  int bits = 2;
  for (const uint8_t byte : bytes) {
    window = (window << 8) | byte;
    bits += 8;
    for (; bits >= 5; bits -= 5) text += kAlphabet[(window >> (bits - 5)) & 31];
    window &= 0xff;
  }
  return text;
}

std::string NewUlid(absl::Time now) {
  std::array<uint8_t, 10> entropy;
  EVILMOE_CHECK(getrandom(entropy.data(), entropy.size(), 0) == static_cast<ssize_t>(entropy.size()));
  return MakeUlid(now, entropy);
}

bool IsUlid(std::string_view text) {
  return text.size() == kLength && text[0] <= '7' &&
         std::all_of(text.begin(), text.end(), [](char c) { return kAlphabet.find(c) != kAlphabet.npos; });
}

}  // namespace evilmoe
