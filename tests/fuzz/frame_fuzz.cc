// What a run may write instead of frames. The first byte picks the expected values, the second the sizes of the reads.
// The rest is a stream of frames, a value, a call and a request; or, when the first bit is set, frames without their
// sizes, a record separator between them. However the stream is cut into reads, the frames are the same; a ground-truth
// judge passes it when a second reader finds the expected values in it, and never else; what decodes encodes to the
// same bytes.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/status_macros.h"
#include "grader_sandbox/judge.h"
#include "grader_sandbox/literal_parser.h"
#include "grader_sandbox/run_request.h"
#include "grader_sandbox/value_codec.h"
#include "tests/fuzz/frame_reference.h"

// There with AddressSanitizer alone.
extern "C" __attribute__((weak)) size_t __sanitizer_get_current_allocated_bytes();  // NOLINT: its name there

namespace evilmoe {
namespace {

constexpr size_t kMaxFrameBytes = 4096;
constexpr size_t kMaxBytes = size_t{1} << 24;
constexpr size_t kNumCalls = 3;
constexpr size_t kMaxHeapPerByte = 128;  // a None is one byte, and a Value in a vector that doubles
constexpr size_t kMaxComparedKeys = 20;
constexpr char kRecordSeparator = '\x1e';
constexpr char kWithoutSizes = '\x80';

Value Literal(std::string_view text) { return *ParseLiteral(text); }

Value Argument(const std::string& text) { return ParseCall("Solution().f(" + text + ")")->positional[0]; }

const std::vector<std::vector<Value>>& ExpectedValues() {
  static const std::vector<std::vector<Value>> values = {
      {Literal("3")},
      {Literal("[1, 2.0, True, None]"), Literal("'ab'")},
      {Literal("{1: [None], 'a': (1, 2.5)}"), Literal("{1, 'x', b'y', (0,)}"), Literal("0")},
      {Argument("tree_node([1, None, 2])"), Argument("list_node([1, 2])"), Literal("None")},
      {Literal("float('inf')"), Literal("-0.0"), Literal("1180591620717411303424"), Literal("-7")},
      {Literal("[]"), Literal("()"), Literal("{}"), Literal("set()"), Literal("''"), Literal("b''")},
      {Literal("[[1, 2], [3, [4, [5]]]]"), Literal("'\\ud800'")},
      {Literal("[float('nan')]")}};
  return values;
}

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::string Encoded(const Value& value) {
  std::string bytes;
  EVILMOE_CHECK(EncodeValue(value, kMaxBytes, bytes).ok());
  return bytes;
}

template <typename Predicate>
bool Any(const Value& value, Predicate predicate) {
  if (predicate(value)) return true;
  if (const PyDict* dict = value.As<PyDict>()) {
    return std::any_of(dict->entries.begin(), dict->entries.end(),
                       [&](const auto& entry) { return Any(entry.first, predicate) || Any(entry.second, predicate); });
  }
  const std::vector<Value>* items = nullptr;
  if (const PyList* list = value.As<PyList>()) items = &list->items;
  if (const PyTuple* tuple = value.As<PyTuple>()) items = &tuple->items;
  if (const PySet* set = value.As<PySet>()) items = &set->items;
  if (const PyNodes* nodes = value.As<PyNodes>()) items = &nodes->items;
  return items != nullptr &&
         std::any_of(items->begin(), items->end(), [&](const Value& item) { return Any(item, predicate); });
}

bool IsNan(const Value& value) { return value.As<double>() != nullptr && std::isnan(*value.As<double>()); }
bool IsOpaque(const Value& value) { return value.As<PyOpaque>() != nullptr; }
bool IsNodes(const Value& value) { return value.As<PyNodes>() != nullptr; }

bool RepeatsKeys(const Value& value) {
  std::vector<Value> keys;
  if (const PySet* set = value.As<PySet>()) keys = set->items;
  if (const PyDict* dict = value.As<PyDict>()) {
    for (const auto& [key, item] : dict->entries) keys.push_back(key);
  }
  keys.resize(std::min(keys.size(), kMaxComparedKeys));
  for (auto key = keys.begin(); key != keys.end(); ++key) {
    if (std::any_of(keys.begin(), key, [&](const Value& other) { return PythonEqual(other, *key); })) return true;
  }
  return false;
}

// What has a literal is read back from it to the same bytes; all that may get lost is the payload of a nan.
void CheckLiteral(const Value& value) {
  const absl::StatusOr<std::string> written = WriteLiteral(value);
  if (!written.ok()) {
    EVILMOE_CHECK(absl::IsInvalidArgument(written.status()));
    return;
  }
  if (Any(value, IsNodes)) return;  // those are read as arguments alone
  const absl::StatusOr<Value> again = ParseLiteral(*written);
  EVILMOE_CHECK(again.ok());
  EVILMOE_CHECK(Any(value, IsNan) || Encoded(*again) == Encoded(value));
}

void CheckValue(std::string_view bytes) {
  const size_t before = __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : 0;
  ByteReader reader(bytes);
  const absl::StatusOr<Value> value = DecodeValue(reader);
  if (!value.ok()) {
    EVILMOE_CHECK(absl::IsInvalidArgument(value.status()) && IsPrintable(std::string(value.status().message())));
    return;
  }
  if (__sanitizer_get_current_allocated_bytes) {
    EVILMOE_CHECK(__sanitizer_get_current_allocated_bytes() <= before + kMaxHeapPerByte * bytes.size() + 4096);
  }
  EVILMOE_CHECK(Encoded(*value) == bytes.substr(0, bytes.size() - reader.size()));
  EVILMOE_CHECK(!Any(*value, RepeatsKeys));
  ByteReader second(bytes);
  const Value copy = *DecodeValue(second);
  const bool equals_itself = !Any(*value, IsNan) && !Any(*value, IsOpaque);
  EVILMOE_CHECK(PythonEqual(*value, copy) == equals_itself);
  EVILMOE_CHECK(!equals_itself || PythonHash(*value) == PythonHash(copy));
  CheckLiteral(*value);
}

void CheckCall(std::string_view bytes) {
  const absl::StatusOr<Call> call = DecodeCall(bytes, "f");
  EVILMOE_CHECK(call.ok() || absl::IsInvalidArgument(call.status()));
  if (!call.ok()) return;
  const absl::StatusOr<std::string> again = EncodeCall(*call);
  EVILMOE_CHECK(again.ok() && *again == bytes);
}

void CheckRequest(std::string_view bytes) {
  const absl::StatusOr<RunRequest> request = DecodeRunRequest(bytes);
  EVILMOE_CHECK(request.ok() || absl::IsInvalidArgument(request.status()));
  if (!request.ok()) return;
  const std::string again = EncodeRunRequest(*request);
  // A flag is read from any byte and written as 0 or 1, so only the second writing has to be the same.
  EVILMOE_CHECK(again.size() == bytes.size());
  const absl::StatusOr<RunRequest> second = DecodeRunRequest(again);
  EVILMOE_CHECK(second.ok() && EncodeRunRequest(*second) == again);
}

// Reads of 1 to 256 bytes, as `seed` wants it; 0: all at once.
CutStream ReadInChunks(std::string_view stream, uint8_t seed) {
  CutStream cut;
  FrameReader reader(kMaxFrameBytes);
  uint32_t state = seed;
  while (!stream.empty() && !cut.broken) {
    state = state * 1664525 + 1013904223;
    const size_t size = seed == 0 ? stream.size() : seed == 1 ? 1 : (state >> 16) % (size_t{1} << seed % 9) + 1;
    reader.Feed(stream.substr(0, size));
    stream.remove_prefix(std::min(size, stream.size()));
    for (;;) {
      const absl::StatusOr<std::optional<Frame>> frame = reader.Next();
      cut.broken = !frame.ok();
      if (cut.broken || !*frame) break;
      cut.frames.emplace_back(static_cast<char>((*frame)->type), (*frame)->payload);
    }
  }
  return cut;
}

// The verdict, an error, or nothing when the frames do not settle it.
absl::StatusOr<std::optional<Verdict>> Judged(Judge& judge, const std::vector<FrameBytes>& frames) {
  judge.Reset();
  for (const auto& [type, payload] : frames) {
    absl::StatusOr<std::optional<Verdict>> verdict = judge.OnFrame({static_cast<FrameType>(type), payload});
    if (!verdict.ok() || verdict->has_value()) return verdict;
  }
  return std::optional<Verdict>();
}

// Whether the judge passes the run. It says the same after a Reset(), and nothing that a terminal could not show.
bool Passes(Judge& judge, const std::vector<FrameBytes>& frames) {
  const absl::StatusOr<std::optional<Verdict>> verdict = Judged(judge, frames);
  const absl::StatusOr<std::optional<Verdict>> again = Judged(judge, frames);
  EVILMOE_CHECK(verdict.status() == again.status());
  if (!verdict.ok()) {
    EVILMOE_CHECK(absl::IsInvalidArgument(verdict.status()) || absl::IsFailedPrecondition(verdict.status()));
    EVILMOE_CHECK(IsPrintable(std::string(verdict.status().message())));
    return false;
  }
  EVILMOE_CHECK(verdict->has_value() == again->has_value());
  if (!*verdict) return false;
  const Verdict& first = **verdict;
  EVILMOE_CHECK(first.kind == (*again)->kind && first.index == (*again)->index && first.error == (*again)->error);
  EVILMOE_CHECK(first.index >= -1 && first.index < static_cast<int>(std::max<size_t>(frames.size(), 1)));
  EVILMOE_CHECK(IsPrintable(first.error) && first.error.size() <= 100);
  return first.kind == VerdictKind::kPass;
}

bool StartsWith(const std::vector<FrameBytes>& frames, const std::vector<FrameBytes>& prefix) {
  return frames.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), frames.begin());
}

void CheckJudges(const std::vector<FrameBytes>& frames, const std::vector<Value>& expected) {
  const PythonComparer comparer;
  GroundTruthJudge ground_truth(expected, comparer);
  EVILMOE_CHECK(Passes(ground_truth, frames) == ReturnsAll(frames, expected));

  ScriptJudge script;
  EVILMOE_CHECK(Passes(script, frames) == StartsWith(frames, {{'C', ""}, {'R', ""}}));

  TestFunctionJudge test_function;
  const bool passes = Passes(test_function, frames);
  const bool looked = frames.size() > 1 && frames[1].first == 'T';
  std::vector<FrameBytes> unlooked = frames;
  if (looked) unlooked.erase(unlooked.begin() + 1);
  const bool found = !looked || test_function.found().found;
  EVILMOE_CHECK(passes == (found && StartsWith(unlooked, {{'C', ""}, {'L', ""}, {'R', ""}})));

  RecordingJudge recording(kNumCalls);
  const bool recorded = Passes(recording, frames);
  EVILMOE_CHECK(recording.values().size() <= kNumCalls && recorded == (recording.values().size() == kNumCalls));
  for (size_t i = 0; i < recording.values().size(); ++i) {
    EVILMOE_CHECK(Encoded(recording.values()[i]) == frames[i + 2].second.substr(4));
  }
}

std::string WithSizes(std::string_view records) {
  std::string stream;
  while (!records.empty()) {
    const std::string_view record = records.substr(0, records.find(kRecordSeparator));
    records.remove_prefix(std::min(record.size() + 1, records.size()));
    if (!record.empty()) stream += EncodeFrame(static_cast<FrameType>(record[0]), record.substr(1));
  }
  return stream;
}

void Fuzz(std::string_view bytes) {
  if (bytes.size() < 2) return;
  const auto choice = static_cast<uint8_t>(bytes[0]);
  const auto seed = static_cast<uint8_t>(bytes[1]);
  bytes.remove_prefix(2);
  CheckValue(bytes);
  CheckCall(bytes);
  CheckRequest(bytes);

  const bool has_sizes = (choice & static_cast<uint8_t>(kWithoutSizes)) == 0;
  const std::string stream = has_sizes ? std::string(bytes) : WithSizes(bytes);
  const CutStream cut = CutFrames(stream, kMaxFrameBytes);
  for (const uint8_t chunks : {uint8_t{0}, uint8_t{1}, seed}) EVILMOE_CHECK(ReadInChunks(stream, chunks) == cut);
  CheckJudges(cut.frames, ExpectedValues()[choice % ExpectedValues().size()]);
}

}  // namespace
}  // namespace evilmoe

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  evilmoe::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
