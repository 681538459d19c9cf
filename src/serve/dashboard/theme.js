// Sets the chosen theme before anything is painted. It is a plain script and not a module, because modules run
// only after the page has been parsed, which would show a flash of the other theme.
(function () {
  var chosen = null;
  try {
    chosen = localStorage.getItem("tillrace.theme");
  } catch (_) {
    // Storage may be forbidden; the system's preference then stands.
  }
  if (chosen === "light" || chosen === "dark") {
    document.documentElement.dataset.theme = chosen;
  }
})();
