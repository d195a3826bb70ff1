"""Brute force for the problems of sandbox_rollouts.jsonl that no data file has a solution of; small inputs only.

Written from the statements. Where several answers are right, it gives the one that the record asked for.
"""
import functools
import itertools
import math
import re
from collections import Counter
from fractions import Fraction


class Integer(int):
    """An int whose `/` drops the fraction, as basic-calculator-iii wants it."""

    def __add__(self, other):
        return Integer(int(self) + int(other))

    def __sub__(self, other):
        return Integer(int(self) - int(other))

    def __mul__(self, other):
        return Integer(int(self) * int(other))

    def __truediv__(self, other):
        return Integer(math.trunc(Fraction(int(self), int(other))))


class Solution:
    def longestPalindrome(self, s):
        spans = [s[i:j] for i in range(len(s)) for j in range(i + 1, len(s) + 1) if s[i:j] == s[i:j][::-1]]
        return max(reversed(spans), key=len)  # of the longest ones, the last

    def maxProfit(self, prices):
        def best(day, bought):
            if day >= len(prices):
                return 0
            wait = best(day + 1, bought)
            if bought is None:
                return max(wait, best(day + 1, prices[day]))
            return max(wait, prices[day] - bought + best(day + 2, None))
        return best(0, None)

    def findAnagrams(self, s, p):
        return [i for i in range(len(s) - len(p) + 1) if sorted(s[i:i + len(p)]) == sorted(p)]

    def numberOfBoomerangs(self, points):
        return sum(count * (count - 1) for x, y in points
                   for count in Counter((x - u) ** 2 + (y - v) ** 2 for u, v in points).values())

    def minTransfers(self, transactions):
        balance = Counter()
        for giver, taker, amount in transactions:
            balance[giver] -= amount
            balance[taker] += amount

        def groups(left):  # the most groups that settle among themselves
            return max((1 + groups(tuple(i for i in left if i not in part)) for size in range(1, len(left) + 1)
                        for part in itertools.combinations(left, size)
                        if part[0] == left[0] and sum(debts[i] for i in part) == 0), default=0)
        debts = [amount for amount in balance.values() if amount]
        return len(debts) - groups(tuple(range(len(debts))))

    def removeBoxes(self, boxes):
        runs = [(i, j) for i in range(len(boxes)) for j in range(i + 1, len(boxes) + 1) if len(set(boxes[i:j])) == 1]
        return max(((j - i) ** 2 + self.removeBoxes(boxes[:i] + boxes[j:]) for i, j in runs), default=0)

    def outerTrees(self, trees):
        def on_fence(p):  # some line through p and another tree has all trees on one side
            for q in trees:
                sides = [(q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]) for r in trees]
                if q != p and (min(sides) >= 0 or max(sides) <= 0):
                    return True
            return len(trees) == 1
        return sorted(p for p in trees if on_fence(p))

    def flipLights(self, n, presses):
        buttons = [range(n), range(1, n, 2), range(0, n, 2), range(0, n, 3)]
        states = {(1,) * n}
        for _ in range(presses):
            states = {tuple(on ^ (i in button) for i, on in enumerate(state)) for state in states for button in buttons}
        return len(states)

    def kEmptySlots(self, bulbs, k):
        for day in range(1, len(bulbs) + 1):
            on = sorted(bulbs[:day])
            if any(b - a == k + 1 for a, b in zip(on, on[1:])):
                return day
        return -1

    def calculate(self, s):
        return int(eval(re.sub(r"(\d+)", r"Integer(\1)", s.strip())))

    def numTilings(self, n):
        @functools.cache
        def count(first, top, bottom):  # the first free column of each row, `first` the lower of the two
            if top == bottom == n:
                return 1
            if max(top, bottom) > n:
                return 0
            if top == bottom:
                steps = [(1, 1), (2, 2), (2, 1), (1, 2)]
            elif top < bottom:
                steps = [(2, 0), (2, 1)]
            else:
                steps = [(0, 2), (1, 2)]
            return sum(count(min(top + a, bottom + b), top + a, bottom + b) for a, b in steps)
        return count(0, 0, 0) % (10 ** 9 + 7)

    def customSortString(self, order, s):
        return "".join(sorted(s, key=lambda letter: max(order.find(letter), 0)))  # letters without a place come first

    def preimageSizeFZF(self, k):
        zeros = [sum(x // 5 ** power for power in range(1, 14)) for x in range(5 * k + 6)]
        return zeros.count(k)

    def soupServings(self, n):
        @functools.cache
        def first(a, b):
            if a <= 0 or b <= 0:
                return 0.5 * (a <= 0) + 0.5 * (a <= 0 < b)
            return (first(a - 100, b) + first(a - 75, b - 25) + first(a - 50, b - 50) + first(a - 25, b - 75)) / 4
        return 1 if n > 4800 else first(n, n)  # past 4800 it is 1 but for less than 1e-5

    def shortestSubarray(self, nums, k):
        return min((j - i for i in range(len(nums)) for j in range(i + 1, len(nums) + 1) if sum(nums[i:j]) >= k),
                   default=-1)
