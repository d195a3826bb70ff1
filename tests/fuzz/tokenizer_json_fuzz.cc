// Any bytes as a tokenizer.json, and as text and ids for what comes out and for a tokenizer that is known to be good.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "common/status_macros.h"
#include "policy/detokenizer.h"
#include "policy/nfc.h"
#include "policy/tokenizer.h"
#include "policy/utf8.h"
#include "tests/unit/policy/tiny_tokenizer.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxText = 256;  // a hostile pattern takes its time on more

void CheckDecoding(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  for (const bool skip_special : {false, true}) {
    const std::string text = tokenizer.Decode(ids, skip_special);
    EVILMOE_CHECK(IsUtf8(text));
    Detokenizer detokenizer(tokenizer, skip_special);
    std::string streamed;
    for (const int32_t id : ids) streamed += detokenizer.Push(id);
    streamed += detokenizer.Finish();
    EVILMOE_CHECK(streamed == text);
  }
}

void Use(const Tokenizer& tokenizer, std::string_view bytes) {
  std::vector<int32_t> ids(bytes.size() / sizeof(int32_t));
  if (!ids.empty()) std::memcpy(ids.data(), bytes.data(), ids.size() * sizeof(int32_t));
  CheckDecoding(tokenizer, ids);
  for (int32_t& id : ids) id = static_cast<int32_t>(static_cast<uint32_t>(id) % (tokenizer.vocab_size() + 1));
  CheckDecoding(tokenizer, ids);

  const absl::StatusOr<std::vector<int32_t>> encoded = tokenizer.Encode(bytes);
  EVILMOE_CHECK(encoded.ok() || !IsUtf8(bytes) || absl::IsResourceExhausted(encoded.status()));
  if (!encoded.ok()) return;
  for (const int32_t id : *encoded) EVILMOE_CHECK(tokenizer.HasId(id));
  CheckDecoding(tokenizer, *encoded);
}

void Fuzz(std::string_view bytes) {
  static const Tokenizer known = *Tokenizer::Parse(TinyTokenizerJson().dump());
  const std::string_view text = bytes.substr(0, kMaxText);
  Use(known, text);
  if (IsUtf8(text)) {
    const std::string decoded = known.Decode(*known.Encode(text));
    // Added tokens cut the text before it is normalised, so the whole may have more to compose.
    EVILMOE_CHECK(ToNfc(decoded) == ToNfc(text));
  }
  const absl::StatusOr<Tokenizer> parsed = Tokenizer::Parse(bytes);
  if (!parsed.ok()) {
    EVILMOE_CHECK(absl::IsInvalidArgument(parsed.status()));
    EVILMOE_CHECK(parsed.status().message().find('\n') == std::string::npos);
    return;
  }
  Use(*parsed, text);
  Use(*parsed, bytes.substr(bytes.size() - std::min(bytes.size(), kMaxText)));
  Use(*parsed, "hello caf\u00e9 <|im_end|>e\u0301 12\n\n  x\u4f60\U0001f600");
}

}  // namespace
}  // namespace evilmoe

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  evilmoe::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
