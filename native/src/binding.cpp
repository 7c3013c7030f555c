// What Python sees of the engine. The GIL is released wherever the model computes.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cmath>
#include <memory>
#include <system_error>

#include "forward.h"
#include "pool.h"
#include "rates.h"

namespace nb = nanobind;

namespace attento {
namespace {

using Ids = std::vector<std::int32_t>;
using Floats = nb::ndarray<nb::numpy, float>;

// A model, its kernels and its workers.
class Engine {
 public:
  Engine(const std::string& path, int threads, int max_rows, const std::string& kernels)
      : kernels_(choose_kernels(kernels)), model_(path) {
    if (threads < 1 || threads > 1024) throw std::invalid_argument("`threads` must be from 1 to 1024");
    if (max_rows < 1 || max_rows > 65536) throw std::invalid_argument("`max_rows` must be from 1 to 65536");
    try {
      pool_ = std::make_unique<Pool>(model_, kernels_, threads, max_rows);
    } catch (const std::system_error&) {
      throw std::invalid_argument("this machine does not give the " + std::to_string(threads) + " threads asked for");
    }
  }
  // Nobody can end workers that a fork left behind.
  ~Engine() {
    if (!pool_->is_here()) static_cast<void>(pool_.release());
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  nb::list translate(const std::vector<Ids>& sources, const std::vector<int>& max_lengths,
                     const std::vector<Ids>& prefixes, const std::vector<std::vector<double>>& uniform,
                     const SearchSettings& search) const;
  nb::list generate(const std::vector<Ids>& prompts, int max_length, const std::vector<std::vector<double>>& uniform,
                    const SearchSettings& search) const;
  Floats logits(const Ids& source, const Ids& target) const;
  Floats source_attention(const Ids& source, const Ids& target) const;
  nb::bytes file(const std::string& name) const;

  bool translates() const { return model_.settings.translates(); }
  double rate() const { return product_rate(kernels_, model_.settings.compute_type); }
  const char* kernels() const { return kernels_.name; }
  const Settings& settings() const { return model_.settings; }
  std::int64_t bytes() const { return model_.file.size(); }

 private:
  nb::list search_for(const std::vector<Request>& requests, const SearchSettings& search) const;
  void check_ids(const Ids& source, const Ids& target) const;
  template <typename Keep>
  void force(const Ids& source, const Ids& target, bool watching, Keep keep) const;

  const Kernels& kernels_;
  Model model_;
  std::unique_ptr<Pool> pool_;
};

void check(const SearchSettings& search) {
  const int rows = search.sampling.on ? search.n_best : search.beam_size;
  if (search.n_best < 1 || rows < 1 || rows > 255) {
    throw std::invalid_argument("`beam_size` and `n_best` must be from 1 to 255 in the native engine");
  }
  if (!search.sampling.on && search.n_best > search.beam_size) {
    throw std::invalid_argument("`n_best` must not be greater than `beam_size`");
  }
  const bool penalty_fits = search.length_penalty >= 0 && std::isfinite(search.length_penalty);
  if (!penalty_fits || search.min_length < 0 || search.no_repeat_ngram < 0) {
    throw std::invalid_argument("`length_penalty`, `min_length` and `no_repeat_ngram` must be 0 or more");
  }
  const Sampling& sampling = search.sampling;
  const bool temperature_fits = sampling.temperature > 0 && std::isfinite(sampling.temperature);
  const bool nucleus_fits = sampling.top_p > 0 && sampling.top_p <= 1;
  if (sampling.on && !(temperature_fits && sampling.top_k >= 0 && nucleus_fits)) {
    throw std::invalid_argument("`temperature` must be above 0, `top_k` 0 or more, `top_p` above 0 and at most 1");
  }
}

nb::object to_python(const Outcome& outcome) {
  if (!outcome.error.empty()) return nb::str(outcome.error.c_str());
  nb::list found;
  for (const Hypothesis& each : outcome.hypotheses) {
    nb::list ids;
    for (const std::int32_t id : each.ids) ids.append(id);
    found.append(nb::make_tuple(nb::tuple(ids), each.log_probability, each.score, each.finished));
  }
  return found;
}

nb::list Engine::translate(const std::vector<Ids>& sources, const std::vector<int>& max_lengths,
                           const std::vector<Ids>& prefixes, const std::vector<std::vector<double>>& uniform,
                           const SearchSettings& search) const {
  if (!translates()) throw std::invalid_argument("the model is a language model, which translates nothing");
  const auto fits = [&](const auto& list) { return list.empty() || list.size() == sources.size(); };
  if (max_lengths.size() != sources.size() || !fits(prefixes) || !fits(uniform)) {
    throw std::invalid_argument("`max_lengths`, `prefixes` and `uniform` must have one item for each source");
  }
  std::vector<Request> requests(sources.size());
  for (std::size_t i = 0; i < sources.size(); ++i) {
    requests[i].source = sources[i];
    if (!prefixes.empty()) requests[i].prefix = prefixes[i];
    if (!uniform.empty()) requests[i].uniform = uniform[i];
    if (max_lengths[i] < 0) throw std::invalid_argument("`max_lengths` must be 0 or more");
    requests[i].max_length = max_lengths[i];
  }
  return search_for(requests, search);
}

nb::list Engine::generate(const std::vector<Ids>& prompts, int max_length,
                          const std::vector<std::vector<double>>& uniform, const SearchSettings& search) const {
  if (translates()) throw std::invalid_argument("the model is a translation model, which goes on with no text");
  if (max_length < 0) throw std::invalid_argument("`max_length` must be 0 or more");
  if (!uniform.empty() && uniform.size() != prompts.size()) {
    throw std::invalid_argument("`uniform` must have one item for each prompt");
  }
  std::vector<Request> requests(prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    requests[i].source = prompts[i];
    if (!uniform.empty()) requests[i].uniform = uniform[i];
    requests[i].max_length = max_length;
  }
  return search_for(requests, search);
}

nb::list Engine::search_for(const std::vector<Request>& requests, const SearchSettings& search) const {
  if (!pool_->is_here()) throw std::runtime_error("the engine's threads did not outlive a fork; make an engine after it");
  check(search);
  bool interrupted = false;
  std::vector<Outcome> outcomes;
  {
    const nb::gil_scoped_release released;
    outcomes = pool_->translate(requests, search, [&] {
      const nb::gil_scoped_acquire held;
      interrupted = PyErr_CheckSignals() != 0;
      return interrupted;
    });
  }
  if (interrupted) throw nb::python_error();
  nb::list found;
  for (const Outcome& outcome : outcomes) found.append(to_python(outcome));
  return found;
}

void Engine::check_ids(const Ids& source, const Ids& target) const {
  const Settings& s = model_.settings;
  const auto check = [](const Ids& ids, int vocabulary, int most, const char* name) {
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= vocabulary) throw std::invalid_argument(std::string(name) + " has ids outside the vocabulary");
    }
    if (most > 0 && static_cast<std::int64_t>(ids.size()) >= most) {
      throw std::invalid_argument(std::string(name) + " is longer than the model's limit");
    }
  };
  check(source, s.source_vocab_size, s.max_source_length, "source");
  check(target, s.target_vocab_size, s.max_target_length, "target");
}

// Let the model write a given target, a language model behind bos and the source; `keep` sees the logits after each token that was read, and the pass.
template <typename Keep>
void Engine::force(const Ids& source, const Ids& target, bool watching, Keep keep) const {
  Ids written = translates() ? Ids() : source;
  written.insert(written.end(), target.begin(), target.end());
  check_ids(translates() ? source : Ids(), written);
  const nb::gil_scoped_release released;
  Forward forward(model_, kernels_);
  Sentence sentence;
  if (translates()) {
    sentence.source = source;
    sentence.source.push_back(model_.settings.eos);
  }
  Sentence* const only[] = {&sentence};
  forward.read(only);
  if (watching) forward.watch();
  sentence.tokens = {model_.settings.bos};
  sentence.parents = {0};
  for (std::size_t read = 0; read <= written.size(); ++read) {
    keep(forward.step(only), forward);
    if (read < written.size()) sentence.tokens[0] = written[read];
  }
}

Floats own(std::vector<float>&& values, std::initializer_list<std::size_t> shape) {
  auto* kept = new std::vector<float>(std::move(values));
  nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<float>*>(p); });
  return Floats(kept->data(), shape, owner);
}

Floats Engine::logits(const Ids& source, const Ids& target) const {
  const auto vocabulary = static_cast<std::size_t>(model_.settings.target_vocab_size);
  std::vector<float> found;
  force(source, target, false, [&](const float* logits, const Forward&) {
    found.insert(found.end(), logits, logits + vocabulary);
  });
  const std::size_t rows = found.size() / vocabulary;
  return own(std::move(found), {rows, vocabulary});
}

Floats Engine::source_attention(const Ids& source, const Ids& target) const {
  const Settings& s = model_.settings;
  if (!translates()) throw std::invalid_argument("the model is a language model, which has no source to look at");
  std::vector<float> found;
  force(source, target, true, [&](const float*, const Forward& forward) {
    found.insert(found.end(), forward.watched().begin(), forward.watched().end());
  });
  const auto layers = static_cast<std::size_t>(s.decoder_layers), heads = static_cast<std::size_t>(s.num_heads);
  return own(std::move(found), {target.size() + 1, layers, heads, source.size() + 1});
}

nb::bytes Engine::file(const std::string& name) const {
  const auto found = model_.file.bytes("file:" + name);
  return nb::bytes(reinterpret_cast<const char*>(found.data()), found.size());
}

}  // namespace

NB_MODULE(_native, m) {
  // An engine that lives until the process ends is no mistake.
  nb::set_leak_warnings(false);
  nb::exception<FileError>(m, "FileError", PyExc_ValueError);
  m.def("available_kernels", [] {
    std::vector<std::string> names;
    for (const Kernels* each : available_kernels()) names.emplace_back(each->name);
    return names;
  });
  m.def("read_rate", &read_rate, nb::arg("bytes"), nb::call_guard<nb::gil_scoped_release>());
  nb::class_<SearchSettings>(m, "SearchSettings")
      .def(
          "__init__",
          [](SearchSettings* self, int beam_size, int n_best, double length_penalty, int min_length, int no_repeat_ngram,
             bool sample, double temperature, int top_k, double top_p) {
            new (self) SearchSettings{beam_size,      n_best,         length_penalty,
                                      min_length,     no_repeat_ngram, {sample, temperature, top_k, top_p}};
          },
          nb::kw_only(), nb::arg("beam_size") = 4, nb::arg("n_best") = 1, nb::arg("length_penalty") = 0.6,
          nb::arg("min_length") = 0, nb::arg("no_repeat_ngram") = 0, nb::arg("sample") = false,
          nb::arg("temperature") = 1.0, nb::arg("top_k") = 0, nb::arg("top_p") = 1.0);
  nb::class_<Engine>(m, "Engine")
      .def(nb::init<const std::string&, int, int, const std::string&>(), nb::arg("path"), nb::kw_only(),
           nb::arg("threads") = 1, nb::arg("max_rows") = 64, nb::arg("kernels") = "")
      .def("translate", &Engine::translate, nb::arg("sources"), nb::arg("max_lengths"), nb::kw_only(),
           nb::arg("prefixes") = std::vector<Ids>{}, nb::arg("uniform") = std::vector<std::vector<double>>{},
           nb::arg("search"))
      .def("generate", &Engine::generate, nb::arg("prompts"), nb::arg("max_length"), nb::kw_only(),
           nb::arg("uniform") = std::vector<std::vector<double>>{}, nb::arg("search"))
      .def("logits", &Engine::logits, nb::arg("source"), nb::arg("target"))
      .def("source_attention", &Engine::source_attention, nb::arg("source"), nb::arg("target"))
      .def("file", &Engine::file, nb::arg("name"))
      .def("product_rate", &Engine::rate, nb::call_guard<nb::gil_scoped_release>())
      .def_prop_ro("kernels", &Engine::kernels)
      .def_prop_ro("translates", &Engine::translates)
      .def_prop_ro("bytes", &Engine::bytes)
      .def_prop_ro("decoder_layers", [](const Engine& self) { return self.settings().decoder_layers; })
      .def_prop_ro("num_heads", [](const Engine& self) { return self.settings().num_heads; })
      .def_prop_ro("max_source_length", [](const Engine& self) { return self.settings().max_source_length; })
      .def_prop_ro("max_target_length", [](const Engine& self) { return self.settings().max_target_length; })
      .def_prop_ro("source_vocab_size", [](const Engine& self) { return self.settings().source_vocab_size; })
      .def_prop_ro("target_vocab_size", [](const Engine& self) { return self.settings().target_vocab_size; });
}

}  // namespace attento
