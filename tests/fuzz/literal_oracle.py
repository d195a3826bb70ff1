"""What CPython makes of a literal, of a call and of a test.

ast.literal_eval does the reading; what literal_parser.h adds to it is first replaced in the syntax tree: inf, nan and
float("inf") by the number, list_node([...]) and tree_node([...]) by a tuple ("list_node", ...) of the items.
literal_fuzz.cc calls judge(), equal_pairs() and refusals().
"""

import ast
import io
import math
import sys
import tokenize
import warnings
from collections import deque

sys.set_int_max_str_digits(0)
sys.setrecursionlimit(5000)  # 200 levels need more than the default
warnings.simplefilter("ignore")

NODE_MAKERS = ("list_node", "tree_node")
SAME_NODES = {"is_same_list": "list_node", "is_same_tree": "tree_node"}


class Refused(Exception):
    pass


def need(condition):
    if not condition:
        raise Refused()


class Extensions(ast.NodeTransformer):
    def __init__(self, with_nodes):
        self.with_nodes = with_nodes
        self.used = False

    def put(self, node):
        self.used = True
        return node

    def visit_Name(self, node):
        if node.id in ("inf", "nan"):
            return self.put(ast.Constant(float(node.id)))
        return node

    def visit_Call(self, node):
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name) or len(node.args) != 1 or node.keywords:
            return node
        argument = node.args[0]
        if node.func.id == "float" and isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            number = float(argument.value)
            return node if math.isfinite(number) else self.put(ast.Constant(number))
        if self.with_nodes and node.func.id in NODE_MAKERS and isinstance(argument, ast.List):
            return self.put(ast.Tuple([ast.Constant(node.func.id), *argument.elts], ast.Load()))
        return node


class Evaluator:
    """Values of syntax trees; knows whether any needed more than literal_eval."""

    def __init__(self, with_nodes):
        self.extensions = Extensions(with_nodes)

    def value(self, tree):
        return ast.literal_eval(self.extensions.visit(tree))

    def call(self, tree):
        need(isinstance(tree, ast.Call) and isinstance(tree.func, ast.Attribute))
        made = tree.func.value
        need(isinstance(made, ast.Call) and isinstance(made.func, ast.Name) and made.func.id == "Solution")
        need(not made.args and not made.keywords)
        positional = [self.value(argument) for argument in tree.args]
        keywords = {}
        for keyword in tree.keywords:
            need(keyword.arg is not None and keyword.arg not in keywords)
            keywords[keyword.arg] = self.value(keyword.value)
        return tree.func.attr, positional, keywords

    def test(self, text):
        body = ast.parse(text).body
        need(len(body) == 1 and isinstance(body[0], ast.Assert) and body[0].msg is None)
        tree = body[0].test
        if isinstance(tree, ast.Compare):
            need(len(tree.ops) == 1 and isinstance(tree.ops[0], ast.Eq))
            call = self.call(tree.left)
            self.extensions.with_nodes = False
            return *call, "", self.value(tree.comparators[0])
        need(isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in SAME_NODES)
        need(len(tree.args) == 2 and not tree.keywords)
        self.extensions.used = True
        maker = SAME_NODES[tree.func.id]
        expected = self.value(tree.args[1])
        need(expected is None or (isinstance(expected, tuple) and expected[:1] == (maker,)))
        items = [] if expected is None else list(expected[1:])
        return *self.call(tree.args[0]), maker, (maker, *(tree_items(items) if maker == "tree_node" else items))


class TreeNode:
    def __init__(self, val):
        self.val = val
        self.children = [None, None]


def tree_items(items):
    """Builds the tree of `items`, and lists it again: level by level, without None at the end."""
    if not items:
        return []
    root = TreeNode(items[0])
    left = deque(items[1:])
    queue = deque([root])
    while queue and left:
        node = queue.popleft()
        for side in range(min(2, len(left))):
            val = left.popleft()
            if val is not None:
                node.children[side] = TreeNode(val)
                queue.append(node.children[side])
    listed = [root.val]
    queue = deque([root])
    while queue:
        for child in queue.popleft().children:
            listed.append(None if child is None else child.val)
            if child is not None:
                queue.append(child)
    while len(listed) > 1 and listed[-1] is None:
        listed.pop()
    return listed


def judge(kind, text):
    """(value, whether that took an extension); () when Python refuses; None when it is only too deep for Python.

    The value of a "literal" is its own, of a "call" (method, positional, keywords), of a "test" that with the maker of
    the nodes that are compared, or "", and with the expected value."""
    evaluator = Evaluator(with_nodes=kind != "literal")
    try:
        if kind == "literal":
            value = evaluator.value(ast.parse(text.lstrip(" \t"), mode="eval").body)
        elif kind == "call":
            value = evaluator.call(ast.parse(text, mode="eval").body)
        else:
            value = evaluator.test(text)
        return value, evaluator.extensions.used
    except (MemoryError, RecursionError):
        return None
    except SyntaxError as error:
        return None if "too many nested parentheses" in str(error) else ()
    except Exception:
        return ()


def equal_pairs(values):
    """Whether each value equals the one behind it."""
    return [a == b for a, b in zip(values, values[1:])]


def repeats_keys(text):
    for node in ast.walk(ast.parse(text)):
        keys = node.keys if isinstance(node, ast.Dict) else node.elts if isinstance(node, ast.Set) else []
        if len({ast.literal_eval(key) for key in keys}) < len(keys):
            return True
    return False


def is_triple(token):
    return token.string.lstrip("rRbBuU")[:3] in ("'''", '"""')


def names_a_character(token):
    prefix = token.string[:2].lower().split(token.string[-1])[0]
    return "r" not in prefix and "b" not in prefix and "\\N{" in token.string


def gaps(text, tokens):
    """What stands between the tokens."""
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    at = 0
    for token in tokens:
        if token.type != tokenize.ENDMARKER:  # which may stand in front of a last blank line
            yield text[at:starts[token.start[0] - 1] + token.start[1]]
            at = starts[token.end[0] - 1] + token.end[1]
    yield text[at:]


def token_pairs(tokens):
    shown = [token.string for token in tokens if token.type not in (tokenize.COMMENT, tokenize.NL)]
    return list(zip(shown, shown[1:]))


def has_open_comma(tokens):
    level = 0
    for token in tokens:
        level += (token.string in "([{") - (token.string in ")]}") if token.type == tokenize.OP else 0
        if token.type == tokenize.OP and token.string == "," and level == 0:
            return True
    return False


def refusals(kind, text):
    """The reasons of literal_parser.h to refuse `text`, which Python reads. Empty: there is none."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(text).readline)]
    strings = [token for token in tokens if token.type == tokenize.STRING]
    numbers = [token.string for token in tokens if token.type == tokenize.NUMBER]
    pairs = token_pairs(tokens)
    between = list(gaps(text, tokens))
    first = [token.string for token in tokens if token.string != "assert"][0]
    found = {
        "complex numbers": any(number[-1] in "jJ" for number in numbers),
        "strings in triple quotes": any(is_triple(token) for token in strings),
        "\\N{...} in a str": any(names_a_character(token) for token in strings),
        "comments": any(token.type == tokenize.COMMENT for token in tokens),
        "a backslash at the end of a line": any("\\" in gap for gap in between),
        "form feeds": any("\f" in gap for gap in between),
        "names that are not ASCII": any(token.type == tokenize.NAME and not token.string.isascii() for token in tokens),
        "a sign in front of parentheses": any(a in ("+", "-") and b == "(" for a, b in pairs),
        "(set)()": any(a == "set" and b == ")" for a, b in pairs),
        "parentheses around a call": kind != "literal" and first == "(",
        "...": any(token.type == tokenize.OP and token.string == "..." for token in tokens),
        "tuples without parentheses": kind == "literal" and has_open_comma(tokens),
        "repeated keys": repeats_keys(text),
        "a semicolon": any(token.type == tokenize.OP and token.string == ";" for token in tokens),
        "ints of too many digits": any(len(number) > 100_000 for number in numbers),
    }
    return [name for name, there in found.items() if there]
