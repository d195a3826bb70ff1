'use strict';
// Runs before anything is drawn, so that a page never flashes in the wrong colours. 'system' where nobody chose.
{
  const chosen = (() => { try { return localStorage.getItem('evilmoe.theme'); } catch { return null; } })();
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
}
