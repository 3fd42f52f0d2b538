"""The page's template. It is code and not a file beside it, so that a change of it makes the page again."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --soft: #5c5c5c; --line: #d5d5d5; --ground: #fff; --card: #f5f5f3;
  --bar: #0072b2; --warn: #8a3b00; --warn-ground: #fff1e2; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --soft: #a8a8a8; --line: #444; --ground: #161616;
  --card: #222; --bar: #56b4e9; --warn: #ffc894; --warn-ground: #3a2611; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1200px; padding: 1rem; color: var(--ink); background: var(--ground);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0.2rem 0; font-size: 1.6rem; }
h2 { margin: 2.2rem 0 0.4rem; font-size: 1.25rem; }
p { max-width: 75ch; margin: 0.3rem 0 0.8rem; }
.soft { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr)); gap: 0.6rem; margin: 1rem 0; }
.tiles div { background: var(--card); border-radius: 8px; padding: 0.6rem 0.8rem; }
.tiles b { display: block; font-size: 1.5rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.warnings { list-style: none; margin: 1rem 0; padding: 0; }
.warnings li { margin: 0.4rem 0; padding: 0.5rem 0.8rem; border-left: 4px solid var(--warn); color: var(--warn);
  background: var(--warn-ground); overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0 0.25rem 0.9rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { padding-left: 0; text-align: left; overflow-wrap: anywhere; min-width: 5rem; }
th { vertical-align: bottom; }
.words td, .words th { text-align: left; }
.words td:first-child { overflow-wrap: normal; }
.chart { display: block; width: 100%; max-width: 520px; height: auto; }
.chart text { fill: var(--ink); font-size: 13px; }
.chart .label { text-anchor: end; }
.bar { fill: var(--bar); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(16rem, 100%), 1fr)); gap: 0.9rem; }
.cards.pairs { grid-template-columns: repeat(auto-fill, minmax(min(30rem, 100%), 1fr)); }
figure { margin: 0; padding: 0.6rem; border-radius: 8px; background: var(--card); overflow-wrap: anywhere; }
figure img { width: 100%; max-height: 22rem; object-fit: contain; display: block; border-radius: 4px; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 0.6rem; align-items: start; }
.none { display: grid; place-items: center; min-height: 8rem; border: 1px dashed var(--line); border-radius: 4px;
  color: var(--soft); }
figcaption { font-size: 0.9rem; }
figcaption b { display: block; margin-top: 0.4rem; }
figcaption ul { margin: 0.3rem 0 0; padding-left: 1.1rem; }
"""

PAGE = """
{%- macro picture(shown) -%}
<div>
{% if shown.picture %}<img src="{{ shown.picture }}" alt="{{ shown.id }}" loading="lazy">
{% else %}<div class="none">cannot be shown</div>{% endif %}
<figcaption><b><bdi>{{ shown.id }}</bdi></b>
<span class="soft">{{ shown.split }}{% if shown.size %}, {{ shown.size }}{% endif %}</span></figcaption>
</div>
{%- endmacro -%}
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Data check</title>
<style>{{ style }}</style>
</head>
<body>
<h1>Data check</h1>
<p class="soft">What is in the data set, what was repaired or left out, and what is worth a look before a training.</p>
<div class="tiles">
{% for name, value in tiles %}<div><b>{{ "{:,}".format(value) }}</b>{{ name }}</div>
{% endfor %}</div>
{% if warnings %}<ul class="warnings">
{% for text in warnings %}<li>{{ text }}</li>
{% endfor %}</ul>
{% else %}<p>Nothing to warn of.</p>
{% endif %}
<h2>Splits</h2>
<p class="soft">Empty: images that hold no object. Most: boxes in one image.</p>
<div class="wide"><table>
<tr><th>split</th><th>images</th><th>empty</th><th>boxes</th><th>most</th></tr>
{% for row in splits %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>

<h2>Classes</h2>
<p class="soft">Boxes of each class, by split.</p>
<div class="wide"><table>
<tr><th>class</th>{% for name in split_names %}<th>{{ name }}</th>{% endfor %}<th>in all</th></tr>
{% for row in classes %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
{% if more_classes %}<p>{{ more_classes }} more classes are in card.json.</p>{% endif %}

<h2>Sizes of the boxes</h2>
<p class="soft">Number of boxes by size: the side of a square as large as the box, as a share of that of a square as
large as the image. A detector sees the image at its own size: at 320 pixels, 2 % are 6 pixels.</p>
{{ chart }}

<h2>Repaired and left out</h2>
{% if reasons %}
<p class="soft">Each image that came in is kept, repaired or rejected; repairs.csv has every single thing, and
docs/repairs.md says why it is done.</p>
<div class="wide"><table class="words">
<tr><th>what</th><th>so the image is</th><th>images</th></tr>
{% for row in reasons %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
{% else %}<p>Nothing.</p>{% endif %}

<h2>Duplicates</h2>
<p>{{ duplicates }}</p>
{% for section in sections %}
<h2>{{ section.title }}</h2>
<p class="soft">{{ section.text }}</p>
<div class="cards{% if section.pairs %} pairs{% endif %}">
{% for case in section.cases %}<figure>
{% if case.shown|length > 1 %}<div class="two">{% for each in case.shown %}{{ picture(each) }}{% endfor %}</div>
{% else %}{{ picture(case.shown[0]) }}{% endif %}
{% if case.lines %}<figcaption><ul>
{% for line in case.lines %}<li>{{ line }}</li>{% endfor %}
</ul></figcaption>{% endif %}
</figure>
{% endfor %}</div>
{% endfor %}
</body>
</html>
"""
