#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "grader_sandbox/value.h"

namespace evilmoe {

// Reads and writes the small part of Python that ground-truth tests are written in. No interpreter is involved:
// the text of a test holds the expected value, and that never goes where a solution runs.
//
// Literals: None, True, False, ints of up to 200,000 digits (also 0x, 0o, 0b, _), floats, inf and nan as float("inf"),
// float('-inf'), float('nan') or the bare names inf and nan, str and bytes (also r and u prefixes, all escapes but
// \N{...}, adjacent parts joined), lists, tuples, dicts, sets, set(), and a sign in front of a number.
// Arguments of a call, and the value behind is_same_*, may also hold list_node([...]) and tree_node([...]).
// White space around the whole does not count.
//
// What is accepted is what Python's ast.literal_eval makes of it, inf, nan, float() and nodes aside. Python reads more
// than is accepted here: complex numbers, strings in triple quotes, \N{...}, comments, a backslash at the end of a
// line, form feeds, names that are not ASCII, a sign in front of parentheses, (set)(), parentheses around a call or a
// whole test, `...`, tuples without parentheses, repeated keys, a semicolon. tests/fuzz/literal_fuzz.cc holds both to
// this.

// One call `Solution().method(...)`.
struct Call {
  std::string method;
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keywords;  // names are distinct
  std::optional<NodeShape> returns;                     // the result is read as nodes; else as a plain value
};

// `assert Solution().method(...) == literal`, `assert is_same_list(Solution().method(...), list_node([...]))` or the
// same with is_same_tree and tree_node; `expected` of the latter two is canonical nodes.
struct LiteralTest {
  Call call;
  Value expected;
};

// All three: InvalidArgument says what was found, at which byte, and what was expected.
absl::StatusOr<LiteralTest> ParseLiteralTest(std::string_view text);
absl::StatusOr<Call> ParseCall(std::string_view text);
absl::StatusOr<Value> ParseLiteral(std::string_view text);

// The literal that ParseLiteral (of nodes: ParseCall, as an argument) reads back as the same value; Python too, given
// float("inf") and the like. InvalidArgument for an opaque value, an int of more than 200,000 digits and a str that is
// not UTF-8 with surrogates.
absl::StatusOr<std::string> WriteLiteral(const Value& value);

}  // namespace evilmoe
