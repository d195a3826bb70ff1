#include "grader_sandbox/python_values.h"

#include <deque>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "grader_sandbox/python_ref.h"

namespace evilmoe {
namespace {

absl::Status TooLarge() { return absl::ResourceExhaustedError("value: too large"); }

// Makes objects of values.
class Maker {
 public:
  explicit Maker(PyObject* globals) : globals_(globals) {}

  PyObject* Make(const Value& value) const {
    return std::visit([this](const auto& data) { return MakeOf(data); }, value.data());
  }

 private:
  // Fills `container` through `put(index, item)`, which takes over the reference and says whether it worked.
  template <typename Put>
  PyObject* Fill(PyObject* container, const std::vector<Value>& items, Put put) const {
    for (size_t i = 0; container != nullptr && i < items.size(); ++i) {
      PyObject* item = Make(items[i]);
      if (item == nullptr || !put(container, static_cast<Py_ssize_t>(i), item)) Py_CLEAR(container);
    }
    return container;
  }
  PyObject* ListOf(const std::vector<Value>& items) const {
    return Fill(PyList_New(static_cast<Py_ssize_t>(items.size())), items,
                [](PyObject* to, Py_ssize_t i, PyObject* item) { return PyList_SetItem(to, i, item) == 0; });
  }

  PyObject* MakeOf(const PyNone&) const { return Py_NewRef(Py_None); }
  PyObject* MakeOf(bool flag) const { return PyBool_FromLong(flag ? 1 : 0); }
  PyObject* MakeOf(double number) const { return PyFloat_FromDouble(number); }
  PyObject* MakeOf(const PyInt& number) const {
    PyObject* magnitude = _PyLong_FromByteArray(reinterpret_cast<const unsigned char*>(number.magnitude.data()),
                                                number.magnitude.size(), /*little_endian=*/0, /*is_signed=*/0);
    if (magnitude == nullptr || !number.negative) return magnitude;
    PyObject* negative = PyNumber_Negative(magnitude);
    Py_DECREF(magnitude);
    return negative;
  }
  PyObject* MakeOf(const PyStr& text) const {
    return PyUnicode_DecodeUTF8(text.utf8.data(), static_cast<Py_ssize_t>(text.utf8.size()), "surrogatepass");
  }
  PyObject* MakeOf(const PyBytes& bytes) const {
    return PyBytes_FromStringAndSize(bytes.bytes.data(), static_cast<Py_ssize_t>(bytes.bytes.size()));
  }
  PyObject* MakeOf(const PyList& list) const { return ListOf(list.items); }
  PyObject* MakeOf(const PyTuple& tuple) const {
    return Fill(PyTuple_New(static_cast<Py_ssize_t>(tuple.items.size())), tuple.items,
                [](PyObject* to, Py_ssize_t i, PyObject* item) { return PyTuple_SetItem(to, i, item) == 0; });
  }
  PyObject* MakeOf(const PySet& set) const {
    return Fill(PySet_New(nullptr), set.items, [](PyObject* to, Py_ssize_t, PyObject* item) {
      const bool added = PySet_Add(to, item) == 0;
      Py_DECREF(item);
      return added;
    });
  }
  PyObject* MakeOf(const PyDict& dict) const {
    PyObject* result = PyDict_New();
    for (const auto& [key, value] : dict.entries) {
      if (result == nullptr) break;
      PyObject* py_key = Make(key);
      PyObject* py_value = Make(value);
      const bool put = py_key != nullptr && py_value != nullptr && PyDict_SetItem(result, py_key, py_value) == 0;
      Py_XDECREF(py_key);
      Py_XDECREF(py_value);
      if (!put) Py_CLEAR(result);
    }
    return result;
  }
  PyObject* MakeOf(const PyNodes& nodes) const {
    const char* builder = nodes.shape == NodeShape::kTree ? "tree_node" : "list_node";
    PyObject* function = PyDict_GetItemString(globals_, builder);
    if (function == nullptr) {
      PyErr_Format(PyExc_NameError, "name '%s' is not defined", builder);
      return nullptr;
    }
    PyObject* vals = ListOf(nodes.items);
    if (vals == nullptr) return nullptr;
    PyObject* root = PyObject_CallOneArg(function, vals);
    Py_DECREF(vals);
    return root;
  }
  PyObject* MakeOf(const PyOpaque&) const {
    PyErr_SetString(PyExc_TypeError, "an opaque value cannot be made");
    return nullptr;
  }

  PyObject* const globals_;
};

// Reads objects with a budget of encoded bytes. Holds references to containers while it walks them, since another
// thread may run whenever the interpreter gives up its lock; it does not while in here.
class Reader {
 public:
  explicit Reader(size_t max_bytes) : left_(max_bytes) {}

  absl::StatusOr<Value> Read(PyObject* object, int depth) {
    if (depth > kMaxValueDepth) return absl::InvalidArgumentError("value: nested too deep");
    EVILMOE_RETURN_IF_ERROR(Spend(1));
    if (object == Py_None) return Value(PyNone{});
    if (object == Py_True || object == Py_False) return Value(object == Py_True);
    if (PyLong_CheckExact(object)) return Int(object);
    if (PyFloat_CheckExact(object)) return Float(object);
    if (PyUnicode_CheckExact(object)) return Str(object);
    if (PyBytes_CheckExact(object)) return Bytes(object);
    if (PyList_CheckExact(object)) return Items<PyList>(PySequence_Fast_ITEMS(object), PyList_GET_SIZE(object), depth);
    if (PyTuple_CheckExact(object)) return Items<PyTuple>(PySequence_Fast_ITEMS(object), PyTuple_GET_SIZE(object), depth);
    if (PySet_CheckExact(object)) return Set(object, depth);
    if (PyDict_CheckExact(object)) return Dict(object, depth);
    return Value(PyOpaque{std::string(Py_TYPE(object)->tp_name).substr(0, 100)});
  }

 private:
  absl::Status Spend(size_t num_bytes) {
    if (num_bytes > left_) return TooLarge();
    left_ -= num_bytes;
    return absl::OkStatus();
  }

  absl::StatusOr<Value> Int(PyObject* object) {
    PyInt number{.negative = _PyLong_Sign(object) < 0};
    const size_t num_bits = _PyLong_NumBits(object);
    EVILMOE_RETURN_IF_ERROR(Spend(4 + num_bits / 8));
    PyObject* positive = PyNumber_Absolute(object);
    if (positive == nullptr) return NoMemory();
    number.magnitude.resize((num_bits + 7) / 8);
    _PyLong_AsByteArray(reinterpret_cast<PyLongObject*>(positive),
                        reinterpret_cast<unsigned char*>(number.magnitude.data()), number.magnitude.size(),
                        /*little_endian=*/0, /*is_signed=*/0);
    Py_DECREF(positive);
    return Value(std::move(number));
  }

  absl::StatusOr<Value> Float(PyObject* object) {
    EVILMOE_RETURN_IF_ERROR(Spend(8));
    return Value(PyFloat_AS_DOUBLE(object));
  }

  absl::StatusOr<Value> Str(PyObject* object) {
    if (static_cast<size_t>(PyUnicode_GET_LENGTH(object)) > left_) return TooLarge();
    PyObject* bytes = PyUnicode_AsEncodedString(object, "utf-8", "surrogatepass");
    if (bytes == nullptr) return NoMemory();
    PyStr text{std::string(PyBytes_AS_STRING(bytes), static_cast<size_t>(PyBytes_GET_SIZE(bytes)))};
    Py_DECREF(bytes);
    EVILMOE_RETURN_IF_ERROR(Spend(4 + text.utf8.size()));
    return Value(std::move(text));
  }

  absl::StatusOr<Value> Bytes(PyObject* object) {
    const auto size = static_cast<size_t>(PyBytes_GET_SIZE(object));
    EVILMOE_RETURN_IF_ERROR(Spend(4 + size));
    return Value(PyBytes{std::string(PyBytes_AS_STRING(object), size)});
  }

  template <typename T>
  absl::StatusOr<Value> Items(PyObject** objects, Py_ssize_t count, int depth) {
    if (static_cast<size_t>(count) > left_) return TooLarge();
    EVILMOE_RETURN_IF_ERROR(Spend(4));
    T result;
    for (Py_ssize_t i = 0; i < count; ++i) {
      EVILMOE_ASSIGN_OR_RETURN(Value item, Read(objects[i], depth + 1));
      result.items.push_back(std::move(item));
    }
    return Value(std::move(result));
  }

  absl::StatusOr<Value> Set(PyObject* object, int depth) {
    EVILMOE_RETURN_IF_ERROR(Spend(4));
    PySet set;
    Py_ssize_t position = 0;
    PyObject* item = nullptr;
    Py_hash_t hash = 0;
    while (_PySet_NextEntry(object, &position, &item, &hash) != 0) {
      EVILMOE_ASSIGN_OR_RETURN(Value value, Read(item, depth + 1));
      set.items.push_back(std::move(value));
    }
    return Value(std::move(set));
  }

  absl::StatusOr<Value> Dict(PyObject* object, int depth) {
    EVILMOE_RETURN_IF_ERROR(Spend(4));
    PyDict dict;
    Py_ssize_t position = 0;
    PyObject* key = nullptr;
    PyObject* item = nullptr;
    while (PyDict_Next(object, &position, &key, &item) != 0) {
      EVILMOE_ASSIGN_OR_RETURN(Value key_value, Read(key, depth + 1));
      EVILMOE_ASSIGN_OR_RETURN(Value item_value, Read(item, depth + 1));
      dict.entries.emplace_back(std::move(key_value), std::move(item_value));
    }
    return Value(std::move(dict));
  }

  static absl::Status NoMemory() {
    PyErr_Clear();
    return TooLarge();
  }

  size_t left_;
};

// Reads linked nodes by the same rules as the helpers is_same_list and is_same_tree compare them.
class NodeWalk {
 public:
  explicit NodeWalk(size_t max_bytes) : reader_(max_bytes) {}

  absl::StatusOr<Value> List(PyObject* head) {
    PyNodes nodes{NodeShape::kList, {}};
    for (PyRef node(Py_NewRef(head)); node.get() != Py_None;) {
      EVILMOE_ASSIGN_OR_RETURN(Value val, Val(node.get()));
      nodes.items.push_back(std::move(val));
      EVILMOE_ASSIGN_OR_RETURN(node, Attribute(node.get(), "next"));
    }
    return Value(std::move(nodes));
  }

  absl::StatusOr<Value> Tree(PyObject* root) {
    PyNodes nodes{NodeShape::kTree, {}};
    std::deque<PyRef> level;
    EVILMOE_ASSIGN_OR_RETURN(const bool any, IsNode(root));
    if (any) {
      level.emplace_back(Py_NewRef(root));
      EVILMOE_ASSIGN_OR_RETURN(Value val, Val(root));
      nodes.items.push_back(std::move(val));
    }
    for (; !level.empty(); level.pop_front()) {
      for (const char* side : {"left", "right"}) {
        EVILMOE_ASSIGN_OR_RETURN(PyRef child, Attribute(level.front().get(), side));
        EVILMOE_ASSIGN_OR_RETURN(const bool there, IsNode(child.get()));
        EVILMOE_ASSIGN_OR_RETURN(Value val, there ? Val(child.get()) : reader_.Read(Py_None, 0));
        // No test has a node whose val is None; it must not look like a missing one.
        if (there && val.As<PyNone>() != nullptr) val = PyOpaque{"NoneType"};
        nodes.items.push_back(std::move(val));
        if (there) level.push_back(std::move(child));
      }
    }
    return Value(CanonicalNodes(std::move(nodes)));
  }

 private:
  static absl::StatusOr<PyRef> Attribute(PyObject* node, const char* name) {
    PyRef attribute(PyObject_GetAttrString(node, name));
    if (attribute == nullptr) return absl::AbortedError(name);
    return attribute;
  }
  static absl::StatusOr<bool> IsNode(PyObject* object) {
    const int truth = PyObject_IsTrue(object);
    if (truth < 0) return absl::AbortedError("truth");
    return truth != 0;
  }
  absl::StatusOr<Value> Val(PyObject* node) {
    EVILMOE_ASSIGN_OR_RETURN(const PyRef val, Attribute(node, "val"));
    return reader_.Read(val.get(), 1);
  }

  Reader reader_;
};

}  // namespace

PyObject* ToPython(const Value& value, PyObject* globals) { return Maker(globals).Make(value); }

absl::StatusOr<Value> FromPython(PyObject* object, size_t max_bytes) { return Reader(max_bytes).Read(object, 0); }

absl::StatusOr<Value> NodesFromPython(PyObject* object, NodeShape shape, size_t max_bytes) {
  NodeWalk walk(max_bytes);
  return shape == NodeShape::kTree ? walk.Tree(object) : walk.List(object);
}

}  // namespace evilmoe
