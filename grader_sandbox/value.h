#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace evilmoe {

// Python values of the exact builtin types, held outside of any interpreter, so that a result is compared where the
// code under grading cannot reach. Nested at most kMaxValueDepth deep: the decoder and the parser refuse more.
inline constexpr int kMaxValueDepth = 200;

// An int of any size. `magnitude`: big-endian bytes without leading zeros; zero is empty and not negative.
struct PyInt {
  bool negative = false;
  std::string magnitude;
  bool operator==(const PyInt&) const = default;
};
PyInt MakePyInt(int64_t number);

class Value;

struct PyNone {};
struct PyStr { std::string utf8; };  // lone surrogates as three bytes each ("surrogatepass")
struct PyBytes { std::string bytes; };
struct PyList { std::vector<Value> items; };
struct PyTuple { std::vector<Value> items; };
struct PySet { std::vector<Value> items; };                       // no two equal
struct PyDict { std::vector<std::pair<Value, Value>> entries; };  // no two keys equal; insertion order
struct PyOpaque { std::string type; };                            // anything else: equal to nothing, itself included

// What LeetCodeDataset's helpers list_node(items) and tree_node(items) build: the vals of a linked list, or of a binary
// tree in level order with None for a missing child. Equal when CanonicalNodes() has made both from the same nodes.
enum class NodeShape : uint8_t { kList = 1, kTree = 2 };
struct PyNodes {
  NodeShape shape = NodeShape::kList;
  std::vector<Value> items;
};

class Value {
 public:
  using Variant =
      std::variant<PyNone, bool, PyInt, double, PyStr, PyBytes, PyList, PyTuple, PySet, PyDict, PyOpaque,
                   PyNodes>;

  Value() = default;
  template <typename T>
    requires(!std::is_same_v<std::remove_cvref_t<T>, Value>)
  Value(T&& value) : data_(std::forward<T>(value)) {}  // NOLINT(google-explicit-constructor,bugprone-forwarding-reference-overload)

  const Variant& data() const { return data_; }
  template <typename T>
  const T* As() const { return std::get_if<T>(&data_); }

 private:
  Variant data_;
};

// Python's ==. Numbers compare by exact value across bool, int and float; nan equals nothing; a list is never a tuple.
bool PythonEqual(const Value& a, const Value& b);

// Drops what builds no node: of a tree, None at the end and what would hang below nothing.
PyNodes CanonicalNodes(PyNodes nodes);

// Equal values have equal hashes; seeded per process, so a hostile solution cannot choose collisions. A copy of a value
// that equals nothing may have another hash.
size_t PythonHash(const Value& value);

// False for list, set, dict, nodes and what contains them: those cannot be keys or members of a set.
bool IsHashable(const Value& value);

// True for an opaque value and for what contains one.
bool HoldsOpaque(const Value& value);

// True when two of `items` are equal.
bool HasDuplicates(const std::vector<Value>& items);

// Decides whether a call returned what was expected. Thread-safe.
class Comparer {
 public:
  virtual ~Comparer() = default;
  virtual bool Equal(const Value& got, const Value& expected) const = 0;
};

class PythonComparer final : public Comparer {
 public:
  bool Equal(const Value& got, const Value& expected) const override { return PythonEqual(got, expected); }
};

}  // namespace evilmoe
