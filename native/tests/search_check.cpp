// Checks of the search: against a slow one that sorts whole vocabularies, against all outputs there are, and by hand.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <random>
#include <stdexcept>
#include <string>

#include "search_check.h"

using namespace attento;
using namespace attento::checks;

namespace {

void against_the_slow_search() {
  std::mt19937 random(5);
  for (unsigned trial = 0; trial < 4000; ++trial) {
    const int vocabulary = trial % 4 == 0 ? 131 : 4 + static_cast<int>(random() % 9);
    const Model model = random_model(trial, vocabulary, static_cast<int>(trial % 3) * 2);
    Task task;
    task.cap = static_cast<int>(random() % 7);
    task.settings.beam_size = 1 + static_cast<int>(random() % 11);
    task.settings.n_best = 1 + static_cast<int>(random()) % task.settings.beam_size;
    task.settings.n_best = std::max(1, task.settings.n_best);
    task.settings.length_penalty = static_cast<double>(random() % 5) * 0.3;
    task.settings.min_length = static_cast<int>(random() % 4) * static_cast<int>(random() % 3);
    task.settings.no_repeat_ngram = static_cast<int>(random() % 4);
    for (int i = static_cast<int>(random() % 3); i > 0 && static_cast<int>(task.prefix.size()) < task.cap; --i) {
      task.prefix.push_back(static_cast<std::int32_t>(random() % 3));
    }
    // Greedy search divides in 64-bit floats, as the Python package does.
    const float tolerance = task.settings.beam_size == 1 ? 1e-5f : 0;
    const std::vector<Hypothesis> wanted = slow_search(task, model);
    expect(same(run(task, model), wanted, tolerance), "slow search, trial " + std::to_string(trial));
  }
}

// All outputs up to the cap, each with its score, found by trying everything.
void all_outputs(const Task& task, const Model& model, const Pieces& pieces, float sum,
                 std::map<Pieces, float>& scores) {
  const std::vector<float> log_probs = allowed(task, model, pieces);
  for (int token = 0; token < static_cast<int>(log_probs.size()); ++token) {
    if (log_probs[token] == kNone) continue;
    const float total = sum + log_probs[token];
    if (token == kEos) {
      const double length = static_cast<double>(pieces.size()) + 1;
      scores[pieces] = total / static_cast<float>(penalty(length, task.settings.length_penalty));
      continue;
    }
    Pieces longer = pieces;
    longer.push_back(token);
    all_outputs(task, model, longer, total, scores);
  }
}

void against_all_outputs() {
  for (unsigned trial = 0; trial < 60; ++trial) {
    Task task;
    task.cap = 4;
    task.settings.beam_size = 800;  // more than 4 + 4^2 + .. + 4^4 live ones of 5 tokens
    task.settings.n_best = 800;
    task.settings.length_penalty = trial % 2 == 0 ? 0.6 : 0;
    task.settings.min_length = static_cast<int>(trial % 3);
    task.settings.no_repeat_ngram = static_cast<int>(trial % 4);
    if (trial % 5 == 0) task.prefix = {4, 0};
    const Model model = random_model(trial, 5, 0);
    std::map<Pieces, float> scores;
    all_outputs(task, model, {}, 0.0f, scores);
    const std::vector<Hypothesis> found = run(task, model);
    const std::string name = "all outputs, trial " + std::to_string(trial);
    expect(found.size() == scores.size(), name + ": number");
    for (std::size_t i = 0; i < found.size(); ++i) {
      const auto wanted = scores.find(found[i].ids);
      expect(wanted != scores.end() && wanted->second == found[i].score, name + ": score");
      expect(i == 0 || found[i - 1].score >= found[i].score, name + ": order");
      if (wanted != scores.end()) scores.erase(wanted);
    }
    task.settings.n_best = 3;
    std::vector<Hypothesis> first = found;
    first.resize(std::min<std::size_t>(3, found.size()));
    expect(same(run(task, model), first), name + ": fewer are the first of more");
  }
}

// A model that has the same logits at every step.
Model constant(std::vector<float> logits) {
  return [=](const Pieces&) { return logits; };
}

std::vector<float> logarithms(std::vector<double> probabilities) {
  std::vector<float> logits;
  for (const double each : probabilities) logits.push_back(static_cast<float>(std::log(each)));
  return logits;
}

Task greedy(int cap) {
  Task task;
  task.cap = cap;
  task.settings.beam_size = 1;
  return task;
}

void by_hand_greedy() {
  const Model model = constant(logarithms({0.1, 0.1, 0.1, 0.2, 0.25, 0.25}));
  std::vector<Hypothesis> found = run(greedy(3), model);
  expect(found.size() == 1 && found[0].ids == Pieces{4, 4, 4} && !found[0].finished, "greedy: ties, cap");
  const double sum = 3 * std::log(0.25) + std::log(0.2);
  expect(std::abs(found[0].log_probability - sum) < 1e-5, "greedy: the forced eos counts");
  expect(std::abs(found[0].score - sum / std::pow(9.0 / 6, 0.6)) < 1e-5, "greedy: score");

  found = run(greedy(0), model);
  expect(found[0].ids.empty() && !found[0].finished, "greedy: cap 0");

  Task task = greedy(5);
  task.settings.no_repeat_ngram = 1;
  expect(run(task, model)[0].ids == Pieces{4, 5}, "no piece twice");
  task.settings.min_length = 4;
  expect(run(task, model)[0].ids == Pieces{4, 5, 0, 1}, "no piece twice, at least 4");
  task.settings.no_repeat_ngram = 2;
  task.settings.min_length = 0;
  expect(run(task, model)[0].ids == Pieces{4, 4, 5, 4}, "no pair twice");
  task.prefix = {5, 0, 5, 0};
  found = run(task, model);
  expect(found[0].ids == Pieces{5, 0, 5, 0, 4} && !found[0].finished, "the prefix goes before the rules");
  task = greedy(4);
  task.settings.min_length = 9;
  expect(run(task, constant({0, 0, 0, 9, 1}))[0].ids == Pieces{4, 4, 4, 4}, "the cap goes before the least length");
}

void by_hand_forbidden() {
  // All but eos forbidden by the rules: five pieces, none twice; then eos, whatever the least length.
  Task task = greedy(9);
  task.settings.no_repeat_ngram = 1;
  task.settings.min_length = 9;
  std::vector<Hypothesis> found = run(task, constant({1, 2, 3, 9, 4, 5}));
  expect(found[0].ids == Pieces{5, 4, 2, 1, 0} && found[0].finished, "eos where all else is forbidden");
  task.settings.beam_size = 3;
  expect(run(task, constant({1, 2, 3, 9, 4, 5}))[0].ids.size() == 5, "eos where all else is forbidden, beam");
  task = greedy(9);
  task.prefix = {0, 1};
  expect(run(task, constant({0, kNone, 0, 1}))[0].ids == Pieces{0}, "eos where the model rules out the prefix");
}

void by_hand_beam() {
  // After 4 everything is improbable but 5; a beam of 2 finds 5, which greedy search misses.
  const Model model = [](const Pieces& pieces) {
    if (pieces.empty()) return logarithms({1e-9, 1e-9, 1e-9, 1e-9, 0.6, 0.4});
    if (pieces.back() == 4) return logarithms({0.2, 0.2, 0.2, 0.2, 0.1, 0.1});
    return logarithms({1e-9, 1e-9, 1e-9, 1 - 1e-6, 1e-9, 1e-9});
  };
  Task task;
  task.settings.length_penalty = 0;
  task.settings.beam_size = 2;
  task.settings.n_best = 2;
  task.cap = 4;
  const std::vector<Hypothesis> found = run(task, model);
  expect(found.size() == 2 && found[0].ids == Pieces{5}, "the beam finds the better");
  expect(std::abs(found[0].log_probability - std::log(0.4)) < 1e-5, "the beam's sum");
  // Nothing that is live can be as good as eos with 0.9: one step, whatever the cap.
  int steps = 0;
  task.settings.n_best = 1;
  task.cap = 1000000;
  run(task, constant(logarithms({0.01, 0.01, 0.01, 0.9, 0.035, 0.035})), &steps);
  expect(steps == 1, "stops where nothing can become better");
  // Two equal pieces and eos: the hypotheses of one length come in the order of ids, and the shorter before.
  task.settings.n_best = 7;
  task.settings.beam_size = 7;
  task.cap = 2;
  const std::vector<Hypothesis> tied = run(task, constant({kNone, kNone, kNone, 0, 0, 0}));
  const std::vector<Pieces> order{{}, {4}, {5}, {4, 4}, {4, 5}, {5, 4}, {5, 5}};
  expect(tied.size() == order.size(), "ties: number");
  for (std::size_t i = 0; i < std::min(tied.size(), order.size()); ++i) expect(tied[i].ids == order[i], "ties: order");
}

// The distribution of decoding/sampling.py, with whole sorts.
std::vector<double> slow_distribution(const std::vector<float>& log_probs, const Sampling& sampling) {
  const int count = static_cast<int>(log_probs.size());
  const double greatest = *std::max_element(log_probs.begin(), log_probs.end());
  std::vector<double> share(count);
  std::vector<int> order(count);
  double sum = 0;
  for (int i = 0; i < count; ++i) sum += share[i] = std::exp((log_probs[i] - greatest) / sampling.temperature);
  for (int i = 0; i < count; ++i) share[order[i] = i] /= sum;
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return share[a] > share[b]; });
  if (sampling.top_k > 0) {
    for (int i = sampling.top_k; i < count; ++i) share[order[i]] = 0;
  }
  double left = 0;
  for (const double each : share) left += each;
  double before = 0;
  for (int i = 0; i < count; ++i) {
    const double own = share[order[i]];
    if (i > 0 && before >= sampling.top_p - 1e-12 && sampling.top_p < 1) share[order[i]] = 0;
    before += own / left;
  }
  return share;
}

void sampling_against_whole_sorts() {
  std::mt19937 random(11);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (unsigned trial = 0; trial < 2000; ++trial) {
    Task task;
    task.cap = 6;
    task.settings.n_best = 3;
    task.settings.length_penalty = trial % 2 == 0 ? 0 : 0.6;
    task.settings.min_length = static_cast<int>(trial % 3);
    task.settings.no_repeat_ngram = static_cast<int>(trial % 4);
    Sampling& sampling = task.settings.sampling;
    sampling.on = true;
    sampling.temperature = trial % 5 == 0 ? 1e-3 : 0.3 + static_cast<double>(trial % 3);
    sampling.top_k = static_cast<int>(trial % 4) * 2;
    sampling.top_p = trial % 3 == 0 ? 1 : 0.1 + static_cast<double>(trial % 7) / 9;
    for (int i = 0; i < 3 * 7; ++i) task.uniform.push_back(i % 8 == 0 ? 1 - 1e-16 : uniform(random));
    const Model model = random_model(trial, 11, static_cast<int>(trial % 2) * 4);
    std::vector<Hypothesis> wanted;
    for (int row = 0; row < 3; ++row) {
      Hypothesis drawn;
      for (;;) {
        const std::vector<float> log_probs = allowed(task, model, drawn.ids);
        const std::vector<double> share = slow_distribution(log_probs, sampling);
        double total = 0;
        for (const double each : share) total += each;
        double passed = 0;
        int token = -1;
        for (int i = 0; i < 11; ++i) {
          passed += share[i];
          if (share[i] > 0) token = i;
          if (share[i] > 0 && passed > task.uniform[row * 7 + drawn.ids.size()] * total) break;
        }
        drawn.log_probability += log_probs[token];
        if (token == kEos) break;
        drawn.ids.push_back(token);
      }
      const double length = static_cast<double>(drawn.ids.size());
      drawn.score = static_cast<float>(drawn.log_probability / penalty(length + 1, task.settings.length_penalty));
      drawn.finished = length < task.cap;
      wanted.push_back(drawn);
    }
    std::stable_sort(wanted.begin(), wanted.end(),
                     [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
    expect(same(run(task, model), wanted), "sampling, trial " + std::to_string(trial));
  }
}

void sampling_by_hand() {
  Task task;
  task.cap = 1;
  task.settings.n_best = 4;
  task.settings.sampling = {true, 1, 0, 0.5};
  task.settings.length_penalty = 0;
  task.uniform = {0.99, 0, 0, 0, 0.5, 0, 0.9, 0};
  // The nucleus of 0.5 is 0 alone: its share is 0.5 already.
  for (const Hypothesis& each : run(task, constant({1, kNone, kNone, 1}))) {
    expect(each.ids == Pieces{0} && !each.finished, "the smallest nucleus");
  }
  // Draws at 0.99, 0, 0.5 and 0.9 of [0: 0.5 | eos: 0.5], by score: eos before 0 and eos; equals as they were drawn.
  task.settings.sampling.top_p = 1;
  const std::vector<Hypothesis> found = run(task, constant({1, kNone, kNone, 1}));
  expect(found.size() == 4 && found[0].ids.empty() && found[2].ids.empty() && found[3].ids == Pieces{0}, "four draws");
  task.settings.n_best = 2;
  task.uniform = {0.9, 0, 0.1, 0};
  const std::vector<Hypothesis> equal = run(task, constant({1, 1, kNone, -9}));
  expect(equal.size() == 2 && equal[0].ids == Pieces{1} && equal[1].ids == Pieces{0}, "equals as they were drawn");
  task.uniform = {1, 0, 1, 0};
  expect(run(task, constant({1, 1, kNone, -99}))[0].ids == Pieces{1}, "never past the last that can be drawn");
}

void bad_input() {
  const float nan = std::nanf("");
  const float infinity = std::numeric_limits<float>::infinity();
  for (const int beam : {1, 3}) {
    Task task = greedy(3);
    task.settings.beam_size = beam;
    for (const std::vector<float>& row :
         {std::vector<float>{0, nan, 0, 0}, {infinity, 0, 0, 0}, {kNone, kNone, kNone, kNone}}) {
      expect_error<std::domain_error>([&] { run(task, constant(row)); }, "scores that are no numbers");
    }
    const Model later = [&](const Pieces& pieces) {
      return pieces == Pieces{0} ? std::vector<float>{0, nan, 0, 0} : std::vector<float>{5, 4, 0, 3};
    };
    expect_error<std::domain_error>([&] { run(task, later); }, "one row of scores that are no numbers");
    task.cap = 0;
    expect_error<std::domain_error>([&] { run(task, constant({0, 0, 0, kNone})); }, "an eos that is ruled out");
  }
  expect_error<std::invalid_argument>([&] { run(greedy(3), constant({0, 0, 0})); }, "no eos in the vocabulary");
  Task task = greedy(1);
  task.prefix = {0, 0};
  expect_error<std::invalid_argument>([&] { run(task, constant({0, 0, 0, 0})); }, "a prefix past the cap");
  for (const std::int32_t piece : {-1, kEos, 4, 2000000000}) {
    task.prefix = {piece};
    expect_error<std::invalid_argument>([&] { run(task, constant({0, 0, 0, 0})); }, "a prefix of no pieces");
  }
  task = greedy(-1);
  expect_error<std::invalid_argument>([&] { run(task, constant({0, 0, 0, 0})); }, "a cap below 0");
  task = greedy(2);
  task.settings.sampling.on = true;
  task.uniform = {0.1, 0.2};
  expect_error<std::invalid_argument>([&] { run(task, constant({0, 0, 0, 0})); }, "too few uniform numbers");
}

}  // namespace

int main() {
  against_the_slow_search();
  against_all_outputs();
  by_hand_greedy();
  by_hand_forbidden();
  by_hand_beam();
  sampling_against_whole_sorts();
  sampling_by_hand();
  bad_input();
  if (failures == 0) std::printf("search: all checks hold\n");
  return failures == 0 ? 0 : 1;
}
