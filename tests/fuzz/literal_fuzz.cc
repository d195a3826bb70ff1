// Any text as a literal, a call and a test: what our parser makes of it is what CPython makes of it, type by type.
// Where we accept, ast.literal_eval accepts; where it accepts and we do not, refusals() of literal_oracle.py knows why.
// What we accept is written and read again, by us and by CPython, and crosses the codec; == is Python's ==.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "common/status_macros.h"
#include "grader_sandbox/literal_parser.h"
#include "grader_sandbox/value_codec.h"
#include "tests/fuzz/python_oracle.h"

namespace evilmoe {
namespace {

using Kind = PythonOracle::Kind;
using Answer = PythonOracle::Answer;

constexpr size_t kMaxBytes = size_t{1} << 26;

Value Plain(const Value& value);

std::vector<Value> PlainItems(const std::vector<Value>& items) {
  std::vector<Value> result;
  result.reserve(items.size());
  for (const Value& item : items) result.push_back(Plain(item));
  return result;
}

const char* MakerOf(NodeShape shape) { return shape == NodeShape::kTree ? "tree_node" : "list_node"; }

// As the oracle shows nodes: a tuple of the maker's name and the items.
Value Plain(const Value& value) {
  if (const PyList* list = value.As<PyList>()) return PyList{PlainItems(list->items)};
  if (const PyTuple* tuple = value.As<PyTuple>()) return PyTuple{PlainItems(tuple->items)};
  if (const PyNodes* nodes = value.As<PyNodes>()) {
    PyTuple plain{PlainItems(nodes->items)};
    plain.items.insert(plain.items.begin(), PyStr{MakerOf(nodes->shape)});
    return plain;
  }
  if (const PyDict* dict = value.As<PyDict>()) {
    PyDict result;
    for (const auto& [key, item] : dict->entries) result.entries.emplace_back(Plain(key), Plain(item));
    return result;
  }
  return value;
}

bool HasNan(const Value& value) {
  if (const double* number = value.As<double>()) return std::isnan(*number);
  if (const PyList* list = value.As<PyList>()) return std::any_of(list->items.begin(), list->items.end(), HasNan);
  if (const PyTuple* tuple = value.As<PyTuple>()) return std::any_of(tuple->items.begin(), tuple->items.end(), HasNan);
  if (const PySet* set = value.As<PySet>()) return std::any_of(set->items.begin(), set->items.end(), HasNan);
  if (const PyDict* dict = value.As<PyDict>()) {
    return std::any_of(dict->entries.begin(), dict->entries.end(),
                       [](const auto& entry) { return HasNan(entry.first) || HasNan(entry.second); });
  }
  return false;
}

void CheckCodec(const Value& value) {
  std::string bytes;
  EVILMOE_CHECK(EncodeValue(value, kMaxBytes, bytes).ok());
  ByteReader reader(bytes);
  const absl::StatusOr<Value> decoded = DecodeValue(reader);
  EVILMOE_CHECK(decoded.ok() && reader.AtEnd().ok());
  std::string again;
  EVILMOE_CHECK(EncodeValue(*decoded, kMaxBytes, again).ok());
  EVILMOE_CHECK(again == bytes);
}

void CheckWriting(const Value& value) {
  const absl::StatusOr<std::string> written = WriteLiteral(value);
  EVILMOE_CHECK(written.ok());
  const absl::StatusOr<Value> again = ParseLiteral(*written);
  EVILMOE_CHECK(again.ok());
  EVILMOE_CHECK(SameValue(*again, value));
  const PythonOracle::Judgement judged = PythonOracle::Get().Judge(Kind::kLiteral, *written);
  EVILMOE_CHECK(judged.answer != Answer::kRefused);
  if (judged.answer == Answer::kAccepted) EVILMOE_CHECK(SameValue(judged.values[0], value));
}

// Python takes a value for equal to itself without looking, and nan is the one where that shows.
void CheckEquality(const Value& value) {
  const PyList* list = value.As<PyList>();
  const PyTuple* tuple = value.As<PyTuple>();
  if ((list == nullptr && tuple == nullptr) || HasNan(value)) return;
  const std::vector<Value>& items = list != nullptr ? list->items : tuple->items;
  const std::vector<bool> equal = PythonOracle::Get().EqualPairs(items);
  for (size_t i = 0; i < equal.size(); ++i) {
    EVILMOE_CHECK(PythonEqual(items[i], items[i + 1]) == equal[i]);
    EVILMOE_CHECK(!equal[i] || !IsHashable(items[i]) || PythonHash(items[i]) == PythonHash(items[i + 1]));
  }
}

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// `status` and `values` are what our parser said of the text.
void CheckAgainstPython(Kind kind, std::string_view text, const absl::Status& status,
                        const std::vector<Value>& values) {
  if (!status.ok() && kind != Kind::kLiteral && text.find("Solution") == std::string_view::npos) return;  // for speed
  const PythonOracle::Judgement judged = PythonOracle::Get().Judge(kind, text);
  if (judged.answer == Answer::kTooDeep) return;
  if (!status.ok()) {
    if (judged.answer == Answer::kRefused || judged.extended) return;
    if (PythonOracle::Get().Refusals(kind, text).empty()) {
      std::fprintf(stderr, "refused: %s\n", std::string(status.message()).c_str());
      EVILMOE_CHECK(!"refused for no reason that literal_parser.h gives");
    }
    return;
  }
  EVILMOE_CHECK(judged.answer == Answer::kAccepted);
  EVILMOE_CHECK(judged.values.size() == values.size());
  for (size_t i = 0; i < values.size(); ++i) EVILMOE_CHECK(SameValue(Plain(values[i]), judged.values[i]));
}

void CheckRefusal(const absl::Status& status) {
  EVILMOE_CHECK(absl::IsInvalidArgument(status));
  EVILMOE_CHECK(status.message().find('\n') == std::string::npos);
}

void AppendCall(const Call& call, std::vector<Value>& values) {
  PyDict keywords;
  for (const auto& [name, value] : call.keywords) keywords.entries.emplace_back(PyStr{name}, value);
  values.insert(values.end(), {PyStr{call.method}, PyList{call.positional}, std::move(keywords)});
}

void FuzzLiteral(std::string_view text) {
  const absl::StatusOr<Value> value = ParseLiteral(text);
  if (!value.ok()) {
    CheckRefusal(value.status());
    return CheckAgainstPython(Kind::kLiteral, Trimmed(text), value.status(), {});
  }
  CheckAgainstPython(Kind::kLiteral, Trimmed(text), absl::OkStatus(), {*value});
  CheckCodec(*value);
  CheckWriting(*value);
  CheckEquality(*value);
}

void FuzzCall(std::string_view text) {
  const absl::StatusOr<Call> call = ParseCall(text);
  std::vector<Value> values;
  if (call.ok()) {
    AppendCall(*call, values);
    for (const Value& value : values) CheckCodec(value);
  } else {
    CheckRefusal(call.status());
  }
  CheckAgainstPython(Kind::kCall, Trimmed(text), call.status(), values);
}

void FuzzTest(std::string_view text) {
  const absl::StatusOr<LiteralTest> test = ParseLiteralTest(text);
  std::vector<Value> values;
  if (test.ok()) {
    AppendCall(test->call, values);
    values.insert(values.end(), {PyStr{test->call.returns ? MakerOf(*test->call.returns) : ""}, test->expected});
    for (const Value& value : values) CheckCodec(value);
  } else {
    CheckRefusal(test.status());
  }
  CheckAgainstPython(Kind::kTest, Trimmed(text), test.status(), values);
}

void Fuzz(std::string_view text) {
  if (!PythonOracle::Get().IsText(text)) {
    EVILMOE_CHECK(!ParseLiteral(text).ok() && !ParseCall(text).ok() && !ParseLiteralTest(text).ok());
    return;
  }
  FuzzLiteral(text);
  FuzzCall(text);
  FuzzTest(text);
}

}  // namespace
}  // namespace evilmoe

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  evilmoe::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
