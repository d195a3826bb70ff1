#include "tests/fuzz/python_oracle.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "common/file.h"
#include "common/status_macros.h"
#include "grader_sandbox/python_values.h"
#include "grader_sandbox/value_codec.h"

// In glibc for programs that bring a malloc() of their own.
extern "C" {  // NOLINTBEGIN(bugprone-reserved-identifier): the names are glibc's
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* block, size_t size);
void __libc_free(void* block);
}  // NOLINTEND(bugprone-reserved-identifier)

namespace evilmoe {
namespace {

constexpr size_t kMaxBytes = size_t{1} << 26;

// CPython's memory comes from glibc itself, past the sanitizers' malloc(): it keeps much of it until the end, which
// would pass for leaks, input by input. So every leak that is reported is one of ours.
void BypassSanitizers() {
  PyMemAllocatorEx glibc{
      .ctx = nullptr,
      .malloc = [](void*, size_t size) { return __libc_malloc(std::max<size_t>(size, 1)); },
      .calloc = [](void*, size_t count,
                   size_t size) { return count == 0 || size == 0 ? __libc_calloc(1, 1) : __libc_calloc(count, size); },
      .realloc = [](void*, void* block, size_t size) { return __libc_realloc(block, std::max<size_t>(size, 1)); },
      .free = [](void*, void* block) { __libc_free(block); }};
  for (const PyMemAllocatorDomain domain : {PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ}) {
    PyMem_SetAllocator(domain, &glibc);
  }
}

void StartPython() {
  BypassSanitizers();
  PyConfig config;
  PyConfig_InitIsolatedConfig(&config);
  config.site_import = 0;
  config.write_bytecode = 0;
  config.install_signal_handlers = 0;
  // Its folder says where the standard library is.
  EVILMOE_CHECK(PyStatus_Exception(PyConfig_SetBytesString(&config, &config.program_name, EVILMOE_PYTHON_PROGRAM)) ==
                0);
  EVILMOE_CHECK(PyStatus_Exception(Py_InitializeFromConfig(&config)) == 0);
  PyConfig_Clear(&config);
}

// The oracle itself is at fault.
PyRef Expect(PyObject* object) {
  if (object == nullptr) PyErr_Print();
  EVILMOE_CHECK(object != nullptr);
  return PyRef(object);
}

PyRef ToStr(std::string_view utf8) {
  return Expect(PyUnicode_DecodeUTF8(utf8.data(), static_cast<Py_ssize_t>(utf8.size()), "strict"));
}

const char* KindName(PythonOracle::Kind kind) {
  switch (kind) {
    case PythonOracle::Kind::kLiteral: return "literal";
    case PythonOracle::Kind::kCall: return "call";
    case PythonOracle::Kind::kTest: return "test";
  }
  return "";
}

Value Read(PyObject* object) {
  absl::StatusOr<Value> value = FromPython(object, kMaxBytes);
  EVILMOE_CHECK(value.ok());
  return *std::move(value);
}

// Sets in the order of their members' bytes, and one nan for all.
Value Canonical(const Value& value);

std::vector<Value> CanonicalItems(const std::vector<Value>& items) {
  std::vector<Value> result;
  result.reserve(items.size());
  for (const Value& item : items) result.push_back(Canonical(item));
  return result;
}

std::string Bytes(const Value& value) {
  std::string bytes;
  EVILMOE_CHECK(EncodeValue(value, kMaxBytes, bytes).ok());
  return bytes;
}

Value Canonical(const Value& value) {
  if (const double* number = value.As<double>(); number != nullptr && std::isnan(*number)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (const PyList* list = value.As<PyList>()) return PyList{CanonicalItems(list->items)};
  if (const PyTuple* tuple = value.As<PyTuple>()) return PyTuple{CanonicalItems(tuple->items)};
  if (const PyNodes* nodes = value.As<PyNodes>()) return PyNodes{nodes->shape, CanonicalItems(nodes->items)};
  if (const PySet* set = value.As<PySet>()) {
    PySet sorted{CanonicalItems(set->items)};
    std::sort(sorted.items.begin(), sorted.items.end(),
              [](const Value& a, const Value& b) { return Bytes(a) < Bytes(b); });
    return sorted;
  }
  if (const PyDict* dict = value.As<PyDict>()) {
    PyDict result;
    for (const auto& [key, item] : dict->entries) result.entries.emplace_back(Canonical(key), Canonical(item));
    return result;
  }
  return value;
}

}  // namespace

bool SameValue(const Value& a, const Value& b) { return Bytes(Canonical(a)) == Bytes(Canonical(b)); }

PythonOracle& PythonOracle::Get() {
  static PythonOracle* const oracle = new PythonOracle;  // outlives everything: CPython is not stopped
  return *oracle;
}

PythonOracle::PythonOracle() {
  StartPython();
  const auto source = ReadFile(EVILMOE_SOURCE_DIR "/tests/fuzz/literal_oracle.py");
  EVILMOE_CHECK(source.ok());
  names_ = Expect(PyDict_New());
  EVILMOE_CHECK(PyDict_SetItemString(names_.get(), "__builtins__", PyEval_GetBuiltins()) == 0);
  Expect(PyRun_String(source->c_str(), Py_file_input, names_.get(), names_.get()));
}

PyObject* PythonOracle::Function(const char* name) {
  PyObject* function = PyDict_GetItemString(names_.get(), name);
  EVILMOE_CHECK(function != nullptr);
  return function;
}

bool PythonOracle::IsText(std::string_view bytes) {
  const PyRef str(PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "strict"));
  PyErr_Clear();
  return str != nullptr;
}

PythonOracle::Judgement PythonOracle::Judge(Kind kind, std::string_view text) {
  const PyRef str = ToStr(text);
  const PyRef told = Expect(PyObject_CallFunction(Function("judge"), "sO", KindName(kind), str.get()));
  if (told.get() == Py_None) return {.answer = Answer::kTooDeep};
  if (PyTuple_Size(told.get()) == 0) return {.answer = Answer::kRefused};
  Judgement judgement{.answer = Answer::kAccepted, .extended = PyTuple_GetItem(told.get(), 1) == Py_True};
  PyObject* value = PyTuple_GetItem(told.get(), 0);
  if (kind == Kind::kLiteral) {
    judgement.values.push_back(Read(value));
    return judgement;
  }
  for (Py_ssize_t i = 0; i < PyTuple_Size(value); ++i) judgement.values.push_back(Read(PyTuple_GetItem(value, i)));
  return judgement;
}

std::vector<std::string> PythonOracle::Refusals(Kind kind, std::string_view text) {
  const PyRef str = ToStr(text);
  const PyRef told = Expect(PyObject_CallFunction(Function("refusals"), "sO", KindName(kind), str.get()));
  std::vector<std::string> names;
  const Value list = Read(told.get());
  for (const Value& name : list.As<PyList>()->items) names.push_back(name.As<PyStr>()->utf8);
  return names;
}

std::vector<bool> PythonOracle::EqualPairs(const std::vector<Value>& values) {
  const PyRef list = Expect(ToPython(Value(PyList{values}), names_.get()));
  const PyRef told = Expect(PyObject_CallOneArg(Function("equal_pairs"), list.get()));
  std::vector<bool> equal;
  const Value flags = Read(told.get());
  for (const Value& flag : flags.As<PyList>()->items) equal.push_back(*flag.As<bool>());
  return equal;
}

}  // namespace evilmoe
