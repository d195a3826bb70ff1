#include "grader_sandbox/literal_parser.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "grader_sandbox/literal_cursor.h"
#include "grader_sandbox/literal_text.h"

namespace evilmoe {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

bool IsKeyword(std::string_view name) {
  static constexpr std::string_view kKeywords[] = {
      "False", "None",     "True",  "and",    "as",   "assert", "async",  "await",    "break",
      "class", "continue", "def",   "del",    "elif", "else",   "except", "for",      "finally",
      "from",  "global",   "if",    "import", "in",   "is",     "lambda", "nonlocal", "not",
      "or",    "pass",     "raise", "return", "try",  "while",  "with",   "yield"};
  return std::find(std::begin(kKeywords), std::end(kKeywords), name) != std::end(kKeywords);
}

class Parser {
 public:
  // `text` comes from ReadSource().
  explicit Parser(std::string_view text) : cursor_(text) { cursor_.SkipSpaceAndLines(); }

  absl::StatusOr<LiteralTest> Test() {
    if (cursor_.Name() != "assert") return cursor_.Expected("`assert Solution().method(...) == literal`");
    const LiteralCursor start = cursor_;
    const std::string_view compare = cursor_.Name();
    if (compare == "is_same_list") return SameNodes(NodeShape::kList);
    if (compare == "is_same_tree") return SameNodes(NodeShape::kTree);
    cursor_ = start;
    LiteralTest test;
    EVILMOE_ASSIGN_OR_RETURN(test.call, ParseOneCall());
    if (!cursor_.Eat("==")) return cursor_.Expected("`==` and the expected value behind the call");
    EVILMOE_ASSIGN_OR_RETURN(test.expected, Literal(0));
    if (cursor_.Eat(",")) return cursor_.Expected("the end: a test has no message");
    EVILMOE_RETURN_IF_ERROR(End());
    return test;
  }

  absl::StatusOr<Call> WholeCall() {
    EVILMOE_ASSIGN_OR_RETURN(Call call, ParseOneCall());
    EVILMOE_RETURN_IF_ERROR(End());
    return call;
  }

  absl::StatusOr<Value> WholeLiteral() {
    EVILMOE_ASSIGN_OR_RETURN(Value value, Literal(0));
    EVILMOE_RETURN_IF_ERROR(End());
    return value;
  }

 private:
  absl::Status End() {
    cursor_.SkipSpaceAndLines();
    return cursor_.AtEnd() ? absl::OkStatus() : cursor_.Expected("the end");
  }

  // `(Solution().method(...), list_node([...]))` behind is_same_list, or the tree's.
  absl::StatusOr<LiteralTest> SameNodes(NodeShape shape) {
    if (!cursor_.Eat("(")) return cursor_.Expected("`(`");
    LiteralTest test;
    EVILMOE_ASSIGN_OR_RETURN(test.call, ParseOneCall());
    test.call.returns = shape;
    if (!cursor_.Eat(",")) return cursor_.Expected("`,` and the expected nodes");
    const LiteralCursor start = cursor_;
    nodes_allowed_ = true;
    EVILMOE_ASSIGN_OR_RETURN(Value expected, Literal(0));
    if (!cursor_.Eat(")")) return cursor_.Expected("`)`");
    EVILMOE_RETURN_IF_ERROR(End());
    if (expected.As<PyNone>() != nullptr) expected = PyNodes{shape, {}};
    const PyNodes* nodes = expected.As<PyNodes>();
    if (nodes == nullptr || nodes->shape != shape) {
      return start.Expected(shape == NodeShape::kList ? "list_node([...]) or None" : "tree_node([...]) or None");
    }
    test.expected = CanonicalNodes(*nodes);
    return test;
  }

  absl::StatusOr<Call> ParseOneCall() {
    nodes_allowed_ = true;
    Call call;
    if (cursor_.Name() != "Solution" || !cursor_.Eat("(") || !cursor_.Eat(")") || !cursor_.Eat(".")) {
      return cursor_.Expected("`Solution().method(...)`");
    }
    call.method = std::string(cursor_.Name());
    if (call.method.empty() || IsKeyword(call.method)) return cursor_.Expected("a method name");
    if (!cursor_.Eat("(")) return cursor_.Expected("`(`");
    while (!cursor_.Eat(")")) {
      EVILMOE_RETURN_IF_ERROR(Argument(call));
      if (cursor_.Eat(",")) continue;
      if (!cursor_.Eat(")")) return cursor_.Expected("`,` or `)`");
      break;
    }
    nodes_allowed_ = false;
    return call;
  }

  absl::Status Argument(Call& call) {
    LiteralCursor ahead = cursor_;
    const std::string name(ahead.Name());
    if (name.empty() || !ahead.Eat("=") || ahead.Peek() == '=') {
      if (!call.keywords.empty()) return cursor_.Expected("`name = value` behind a named argument");
      EVILMOE_ASSIGN_OR_RETURN(Value value, Literal(1));
      call.positional.push_back(std::move(value));
      return absl::OkStatus();
    }
    if (IsKeyword(name)) return cursor_.Expected("the name of an argument");
    const auto same = [&](const auto& keyword) { return keyword.first == name; };
    if (std::any_of(call.keywords.begin(), call.keywords.end(), same)) {
      return cursor_.Expected("each argument once");
    }
    cursor_ = ahead;
    EVILMOE_ASSIGN_OR_RETURN(Value value, Literal(1));
    call.keywords.emplace_back(name, std::move(value));
    return absl::OkStatus();
  }

  absl::StatusOr<Value> Literal(int depth) {
    if (depth > kMaxValueDepth) return cursor_.Expected(absl::StrCat("at most ", kMaxValueDepth, " levels"));
    cursor_.SkipSpace();
    const char c = cursor_.Peek();
    if (c == '[') return List(depth);
    if (c == '(') return ParenOrTuple(depth);
    if (c == '{') return DictOrSet(depth);
    if (c == '-' || c == '+') return Signed(depth);
    if ((c >= '0' && c <= '9') || c == '.') return ParseNumberToken(cursor_);
    if (StartsText()) return Text();
    return Named(depth);
  }

  bool StartsText() const {
    for (size_t i = 0; i < 3; ++i) {
      const char c = cursor_.Peek(i);
      if (c == '\'' || c == '"') return true;
      if (std::string_view("rRbBuUfF").find(c) == std::string_view::npos || c == '\0') return false;
    }
    return false;
  }

  absl::StatusOr<Value> Text() {
    EVILMOE_ASSIGN_OR_RETURN(Value joined, ParseTextToken(cursor_));
    for (cursor_.SkipSpace(); StartsText(); cursor_.SkipSpace()) {
      EVILMOE_ASSIGN_OR_RETURN(const Value next, ParseTextToken(cursor_));
      const PyStr* text = joined.As<PyStr>();
      if ((text == nullptr) != (next.As<PyStr>() == nullptr)) return cursor_.Expected("str with str, bytes with bytes");
      joined = text != nullptr ? Value(PyStr{text->utf8 + next.As<PyStr>()->utf8})
                               : Value(PyBytes{joined.As<PyBytes>()->bytes + next.As<PyBytes>()->bytes});
    }
    return joined;
  }

  absl::StatusOr<Value> Signed(int depth) {
    const bool negative = cursor_.Peek() == '-';
    cursor_.Skip();
    cursor_.SkipSpace();
    const LiteralCursor start = cursor_;
    const char c = cursor_.Peek();
    absl::StatusOr<Value> number = (c >= '0' && c <= '9') || c == '.' ? ParseNumberToken(cursor_) : Named(depth);
    if (!number.ok()) return number;
    if (const double* real = number->As<double>()) return Value(negative ? -*real : *real);
    const PyInt* integer = number->As<PyInt>();
    if (integer == nullptr) return start.Expected("a number behind the sign");
    return Value(PyInt{negative && !integer->magnitude.empty(), integer->magnitude});
  }

  absl::StatusOr<Value> Named(int depth) {
    const LiteralCursor start = cursor_;
    const std::string_view name = cursor_.Name();
    if (name == "None") return Value(PyNone{});
    if (name == "True") return Value(true);
    if (name == "False") return Value(false);
    if (name == "inf") return Value(kInfinity);
    if (name == "nan") return Value(kNan);
    if (name == "set" && cursor_.Eat("(") && cursor_.Eat(")")) return Value(PySet{});
    if (name == "float" && cursor_.Eat("(")) return FloatCall(start);
    if (nodes_allowed_ && name == "list_node") return Nodes(NodeShape::kList, depth);
    if (nodes_allowed_ && name == "tree_node") return Nodes(NodeShape::kTree, depth);
    return start.Expected("a literal");
  }

  absl::StatusOr<Value> Nodes(NodeShape shape, int depth) {
    if (!cursor_.Eat("(")) return cursor_.Expected("`(`");
    EVILMOE_ASSIGN_OR_RETURN(Value value, Literal(depth));
    if (value.As<PyList>() == nullptr || !cursor_.Eat(")")) return cursor_.Expected("a list and `)`");
    return Value(PyNodes{shape, value.As<PyList>()->items});
  }

  absl::StatusOr<Value> FloatCall(const LiteralCursor& start) {
    cursor_.SkipSpace();
    if (!StartsText()) return start.Expected("float(\"inf\"), float(\"-inf\") or float(\"nan\")");
    EVILMOE_ASSIGN_OR_RETURN(const Value text, ParseTextToken(cursor_));
    if (!cursor_.Eat(")") || text.As<PyStr>() == nullptr) return start.Expected("float(\"...\")");
    std::string word = text.As<PyStr>()->utf8;
    std::transform(word.begin(), word.end(), word.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
    if (word == "inf" || word == "+inf" || word == "infinity") return Value(kInfinity);
    if (word == "-inf" || word == "-infinity") return Value(-kInfinity);
    if (word == "nan") return Value(kNan);
    return start.Expected("float(\"inf\"), float(\"-inf\") or float(\"nan\")");
  }

  // The items up to `close`; `had_comma` tells a tuple of one from a value in parentheses.
  absl::StatusOr<std::vector<Value>> Items(std::string_view close, int depth, bool* had_comma) {
    std::vector<Value> items;
    while (!cursor_.Eat(close)) {
      EVILMOE_ASSIGN_OR_RETURN(Value item, Literal(depth + 1));
      items.push_back(std::move(item));
      if (cursor_.Eat(",")) {
        *had_comma = true;
        continue;
      }
      if (!cursor_.Eat(close)) return cursor_.Expected(absl::StrCat("`,` or `", std::string(close), "`"));
      break;
    }
    return items;
  }

  absl::StatusOr<Value> List(int depth) {
    cursor_.Eat("[");
    bool had_comma = false;
    EVILMOE_ASSIGN_OR_RETURN(std::vector<Value> items, Items("]", depth, &had_comma));
    return Value(PyList{std::move(items)});
  }

  absl::StatusOr<Value> ParenOrTuple(int depth) {
    cursor_.Eat("(");
    bool had_comma = false;
    EVILMOE_ASSIGN_OR_RETURN(std::vector<Value> items, Items(")", depth, &had_comma));
    if (items.size() == 1 && !had_comma) return std::move(items[0]);
    return Value(PyTuple{std::move(items)});
  }

  absl::StatusOr<Value> DictOrSet(int depth) {
    cursor_.Eat("{");
    PyDict dict;
    std::vector<Value> keys;
    bool is_set = false;
    while (!cursor_.Eat("}")) {
      EVILMOE_ASSIGN_OR_RETURN(Value key, Literal(depth + 1));
      if (!IsHashable(key)) return cursor_.Expected("a key that can be hashed");
      keys.push_back(key);
      const bool has_value = cursor_.Eat(":");
      if (keys.size() == 1) is_set = !has_value;
      if (is_set == has_value) return cursor_.Expected("either `key: value` or plain members throughout");
      if (has_value) {
        EVILMOE_ASSIGN_OR_RETURN(Value value, Literal(depth + 1));
        dict.entries.emplace_back(std::move(key), std::move(value));
      }
      if (cursor_.Eat(",")) continue;
      if (!cursor_.Eat("}")) return cursor_.Expected("`,` or `}`");
      break;
    }
    if (HasDuplicates(keys)) return cursor_.Expected("each key once");
    if (is_set) return Value(PySet{std::move(keys)});
    return Value(std::move(dict));
  }

  LiteralCursor cursor_;
  bool nodes_allowed_ = false;  // between the parentheses of a call, and behind is_same_*
};

absl::StatusOr<std::string> JoinItems(std::string_view open, const std::vector<Value>& items, std::string_view close) {
  std::vector<std::string> texts;
  for (const Value& item : items) {
    EVILMOE_ASSIGN_OR_RETURN(std::string text, WriteLiteral(item));
    texts.push_back(std::move(text));
  }
  return absl::StrCat(std::string(open), absl::StrJoin(texts, ", "), std::string(close));
}

std::string WriteFloat(double number) {
  if (std::isnan(number)) return "float(\"nan\")";
  if (std::isinf(number)) return number > 0 ? "float(\"inf\")" : "float(\"-inf\")";
  char buffer[64];
  const std::to_chars_result end = std::to_chars(buffer, buffer + sizeof buffer, number);
  std::string text(buffer, end.ptr);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

}  // namespace

absl::StatusOr<LiteralTest> ParseLiteralTest(std::string_view text) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string source, ReadSource(text));
  return Parser(source).Test();
}

absl::StatusOr<Call> ParseCall(std::string_view text) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string source, ReadSource(text));
  return Parser(source).WholeCall();
}

absl::StatusOr<Value> ParseLiteral(std::string_view text) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string source, ReadSource(text));
  return Parser(source).WholeLiteral();
}

absl::StatusOr<std::string> WriteLiteral(const Value& value) {
  if (value.As<PyNone>() != nullptr) return "None";
  if (const bool* flag = value.As<bool>()) return *flag ? "True" : "False";
  if (const PyInt* number = value.As<PyInt>()) return DecimalDigits(*number);
  if (const double* number = value.As<double>()) return WriteFloat(*number);
  if (const PyStr* text = value.As<PyStr>()) return QuoteStr(text->utf8);
  if (const PyBytes* bytes = value.As<PyBytes>()) return QuoteBytes(bytes->bytes);
  if (const PyList* list = value.As<PyList>()) return JoinItems("[", list->items, "]");
  if (const PyTuple* tuple = value.As<PyTuple>()) {
    return JoinItems("(", tuple->items, tuple->items.size() == 1 ? ",)" : ")");
  }
  if (const PyNodes* nodes = value.As<PyNodes>()) {
    return JoinItems(nodes->shape == NodeShape::kTree ? "tree_node([" : "list_node([", nodes->items, "])");
  }
  if (const PySet* set = value.As<PySet>()) return set->items.empty() ? "set()" : JoinItems("{", set->items, "}");
  if (const PyDict* dict = value.As<PyDict>()) {
    std::string out = "{";
    for (const auto& [key, item] : dict->entries) {
      EVILMOE_ASSIGN_OR_RETURN(const std::string key_text, WriteLiteral(key));
      EVILMOE_ASSIGN_OR_RETURN(const std::string item_text, WriteLiteral(item));
      absl::StrAppend(&out, out.size() > 1 ? ", " : "", key_text, ": ", item_text);
    }
    return out + "}";
  }
  return absl::InvalidArgumentError(absl::StrCat("value: a ", value.As<PyOpaque>()->type, " has no literal"));
}

}  // namespace evilmoe
