#include <filesystem>

#include "grader_sandbox/literal_parser.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

using enum VerdictKind;

// LeetCodeDataset's interface, in the project's own words.
constexpr char kHelpers[] = R"py(
class ListNode:
    def __init__(self, val=0, next=None):
        self.val, self.next = val, next
class TreeNode:
    def __init__(self, val=0, left=None, right=None):
        self.val, self.left, self.right = val, left, right
def list_node(values):
    head = None
    for value in reversed(values):
        head = ListNode(value, head)
    return head
def tree_node(values):
    rest = iter(values)
    root = TreeNode(next(rest)) if values else None
    level = [root] if root else []
    for node in level:
        for side in ("left", "right"):
            value = next(rest, None)
            if value is not None:
                setattr(node, side, TreeNode(value))
                level.append(getattr(node, side))
    return root
)py";

constexpr char kListTest[] = "assert is_same_list(Solution().f(head = list_node([1, 2, 3])), list_node([3, 2, 1]))";
constexpr char kTreeTest[] =
    "assert is_same_tree(Solution().f(root = tree_node([4, 2, 7, 1])), tree_node([4, 7, 2, None, None, None, 1]))";
constexpr char kReverse[] = R"py(
    def f(self, head):
        last = None
        while head:
            head.next, last, head = last, head, head.next
        return last
)py";
constexpr char kMirror[] = R"py(
    def f(self, root):
        if root:
            root.left, root.right = self.f(root.right), self.f(root.left)
        return root
)py";

struct NodeCase {
  std::string name;
  std::string test;
  std::string method;  // the body of class Solution
  VerdictKind want;
  std::string before = "";  // lines ahead of the class
};

class NodeValuesTest : public ::testing::TestWithParam<NodeCase> {
 protected:
  static void SetUpTestSuite() { cell_ = new Cell({.zygote_binary = ZygoteBinary()}); }
  static void TearDownTestSuite() { delete std::exchange(cell_, nullptr); }
  static Cell* cell_;
};
Cell* NodeValuesTest::cell_ = nullptr;

TEST_P(NodeValuesTest, GetsItsVerdict) {
  Problem problem = AddOne();
  problem.setup_code = kHelpers;
  problem.gt_answer = {GetParam().test};
  const absl::StatusOr<PreparedProblem> prepared = PrepareProblem(problem);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  const std::string source = GetParam().before + "class Solution:" + GetParam().method;
  const Verdict verdict = RunGroundTruth(*cell_, *prepared, source, absl::Seconds(2));
  EXPECT_EQ(VerdictName(verdict.kind), VerdictName(GetParam().want)) << verdict.error;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, NodeValuesTest,
    ::testing::ValuesIn(std::vector<NodeCase>{
        {"RightList", kListTest, kReverse, kPass},
        {"WrongList", kListTest, "\n    def f(self, head): return head\n", kWrongAnswer},
        {"ShortList", kListTest, "\n    def f(self, head): return ListNode(3)\n", kWrongAnswer},
        {"PlainListIsNoNode", kListTest, "\n    def f(self, head): return [3, 2, 1]\n", kRuntimeError},
        {"EmptyList", "assert is_same_list(Solution().f(head = list_node([])), None)",
         "\n    def f(self, head): return head\n", kPass},
        {"ListOfLists", "assert Solution().f(lists = [list_node([1]), None, list_node([2, 3])]) == [1, 0, 2]",
         "\n    def f(self, lists): return [node.val if node else 0 for node in lists]\n", kPass},
        {"OwnNodeClass", kListTest, kReverse, kPass,
         "class ListNode:\n  def __init__(self, val, next=None): self.val = val; self.next = next\n"},
        {"CircularList", kListTest,
         "\n    def f(self, head):\n        head.next = head\n        return head\n", kOutputLimit},
        {"EqualNodes", kListTest, "\n    def f(self, head): return Equal()\n", kRuntimeError,
         "class Equal:\n  def __eq__(self, other): return True\n"},
        {"EqualVals", kListTest,
         "\n    def f(self, head): return ListNode(Equal(), ListNode(Equal(), ListNode(Equal())))\n",
         kWrongAnswer, "class Equal(int):\n  def __eq__(self, other): return True\n"},
        {"AttributesThatRaise", kListTest, "\n    def f(self, head): return Bad()\n", kRuntimeError,
         "class Bad:\n  @property\n  def val(self): raise ValueError\n"},
        {"AttributesThatLoop", kListTest, "\n    def f(self, head): return Bad()\n", kTimeout,
         "class Bad:\n  @property\n  def val(self):\n    while True: pass\n"},
        {"RightTree", kTreeTest, kMirror, kPass},
        {"WrongTree", kTreeTest, "\n    def f(self, root): return root\n", kWrongAnswer},
        {"TreeThatIsAList", kTreeTest, "\n    def f(self, root): return ListNode(4)\n", kRuntimeError},
        {"EmptyTreeByAFalsyValue", "assert is_same_tree(Solution().f(root = tree_node([])), tree_node([]))",
         "\n    def f(self, root): return []\n", kPass},
        {"NodeWithoutAValueIsANode", "assert is_same_tree(Solution().f(root = tree_node([1])), tree_node([1]))",
         "\n    def f(self, root): return TreeNode(1, TreeNode(None))\n", kWrongAnswer},
        {"DeepTree", "assert Solution().f(root = tree_node([1, 2, None, 3, None, 4])) == 4",
         "\n    def f(self, root): return 1 + self.f(root.left) if root else 0\n", kPass},
    }),
    [](const auto& row) { return row.param.name; });

struct CanonicalCase {
  std::string written;
  std::string canonical;
};

class CanonicalTreeTest : public ::testing::TestWithParam<CanonicalCase> {};

TEST_P(CanonicalTreeTest, IsWhatTheHelperBuilds) {
  const absl::StatusOr<LiteralTest> test =
      ParseLiteralTest("assert is_same_tree(Solution().f(), " + GetParam().written + ")");
  ASSERT_TRUE(test.ok()) << test.status();
  EXPECT_EQ(test->call.returns, NodeShape::kTree);
  EXPECT_EQ(*WriteLiteral(test->expected), GetParam().canonical);
}

INSTANTIATE_TEST_SUITE_P(Cases, CanonicalTreeTest,
                         ::testing::ValuesIn(std::vector<CanonicalCase>{
                             {"None", "tree_node([])"},
                             {"tree_node([])", "tree_node([])"},
                             {"tree_node([None])", "tree_node([None])"},
                             {"tree_node([1, None, None, 5])", "tree_node([1])"},
                             {"tree_node([1, None, 2, None, None])", "tree_node([1, None, 2])"},
                             {"tree_node([1, None, 2, 3, 4])", "tree_node([1, None, 2, 3, 4])"},
                             {"tree_node([1, 2, None, None, None, 9])", "tree_node([1, 2])"},
                         }));

class BadNodesTest : public ::testing::TestWithParam<std::string> {};

TEST_P(BadNodesTest, IsRefused) {
  EXPECT_EQ(ParseLiteralTest("assert " + GetParam()).status().code(), absl::StatusCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(Cases, BadNodesTest,
                         ::testing::Values("Solution().f(x = 1) == list_node([1])",
                                           "is_same_list(Solution().f(x = 1), [1])",
                                           "is_same_list(Solution().f(x = 1), tree_node([1]))",
                                           "is_same_tree(Solution().f(x = 1), tree_node([1])",
                                           "is_same_tree(Solution().f(x = tree_node(1)), tree_node([1]))",
                                           "is_same_tree(tree_node([1]), Solution().f(x = 1))",
                                           "is_same_list(Solution().f(x = 1), list_node([1])) == True"));

TEST(NumpyTest, IsThereForCodeThatNamesItAndForNoOther) {
  if (!std::filesystem::exists(EVILMOE_PYTHON_PACKAGES "/numpy")) GTEST_SKIP() << "numpy is not installed here";
  Cell cell({.zygote_binary = ZygoteBinary()});
  const Verdict named = RunAddOne(cell, "import numpy\n" + Method("return int(numpy.array([x]).sum()) + 1"),
                                  absl::Seconds(2));
  EXPECT_EQ(VerdictName(named.kind), "PASS") << named.error;
  const Verdict unnamed = RunAddOne(cell, "__import__('num' + 'py')\n" + Method("return x + 1"));
  EXPECT_EQ(VerdictName(unnamed.kind), "LOAD_ERROR");
  EXPECT_EQ(unnamed.error, "ModuleNotFoundError");
  EXPECT_EQ(RunAddOne(cell, "import numpy, ctypes\n" + Method("return x + 1")).error, "ModuleNotFoundError");
}

TEST(SortedContainersTest, AreThere) {
  if (!std::filesystem::exists(EVILMOE_PYTHON_PACKAGES "/sortedcontainers")) {
    GTEST_SKIP() << "sortedcontainers is not installed here";
  }
  Cell cell({.zygote_binary = ZygoteBinary()});
  EXPECT_EQ(VerdictName(RunAddOne(cell, "from sortedcontainers import SortedList\n" +
                                            Method("return SortedList([x + 1, x])[1]")).kind), "PASS");
}

}  // namespace
}  // namespace evilmoe
