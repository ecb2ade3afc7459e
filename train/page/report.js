/** Draws the report's charts from the data in the page. */
"use strict";

createCharts(document.getElementById("charts"))(
  JSON.parse(document.getElementById("runs").textContent),
);
