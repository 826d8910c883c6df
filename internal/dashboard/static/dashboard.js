// What pages need beyond htmx: the menu on narrow screens, the clipboard, ages that stay right, and dialogs in browsers that do
// not open them by themselves. Everything is found by data attributes, so that what arrives later works too.
(() => {
	"use strict";
	const root = document.documentElement;
	root.classList.add("scripted");

	const toggleMenu = (button) => {
		const menu = document.getElementById(button.getAttribute("aria-controls"));
		const open = menu.toggleAttribute("data-open");
		button.setAttribute("aria-expanded", String(open));
	};

	// The clipboard's own interface is there on https and on this machine only.
	const copy = async (text) => {
		if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
		const at = document.activeElement, area = document.createElement("textarea");
		area.value = text;
		area.className = "hidden";
		area.readOnly = true;
		document.body.append(area);
		area.select();
		const done = document.execCommand("copy");
		area.remove();
		at?.focus(); // which the selection has taken
		if (!done) throw new Error("the browser does not copy");
	};

	// Two pictures over each other: a slider, or a finger on the picture, says how much is seen of the one on top.
	const slide = (compare, percent) => {
		const at = Math.min(100, Math.max(0, percent));
		compare.querySelector(".compare-view").style.setProperty("--at", `${at}%`);
		compare.querySelector("input[type=range]").value = String(at);
	};
	document.addEventListener("input", (event) => {
		const compare = event.target.closest("[data-compare]");
		if (compare && event.target.type === "range") slide(compare, Number(event.target.value));
	});
	const drag = (event) => {
		const view = event.target.closest?.(".compare-view");
		if (!view || !(event.buttons & 1) || view.closest("[data-mode=beside]")) return;
		const box = view.getBoundingClientRect();
		slide(view.closest("[data-compare]"), ((event.clientX - box.left) / box.width) * 100);
	};
	document.addEventListener("pointerdown", drag);
	document.addEventListener("pointermove", drag);
	const toggleCompare = (button) => {
		const compare = button.closest("[data-compare]");
		const beside = compare.getAttribute("data-mode") !== "beside";
		compare.setAttribute("data-mode", beside ? "beside" : "over");
		button.setAttribute("aria-pressed", String(beside));
	};

	const copied = (button) => {
		const label = button.getAttribute("aria-label");
		button.setAttribute("data-copied", "");
		button.setAttribute("aria-label", "Copied");
		setTimeout(() => {
			button.removeAttribute("data-copied");
			button.setAttribute("aria-label", label);
		}, 1500);
	};

	const command = (button) => {
		const dialog = document.getElementById(button.getAttribute("commandfor"));
		if (!dialog) return;
		if (button.getAttribute("command") === "show-modal" && !dialog.open) dialog.showModal();
		if (button.getAttribute("command") === "close" && dialog.open) dialog.close();
	};
	const commandsByThemselves = "commandForElement" in HTMLButtonElement.prototype;

	document.addEventListener("click", (event) => {
		const button = event.target.closest("button");
		if (!button) return;
		if (button.hasAttribute("data-menu")) toggleMenu(button);
		if (button.hasAttribute("data-compare-mode")) toggleCompare(button);
		if (button.hasAttribute("data-copy")) copy(button.dataset.copy).then(() => copied(button), () => {});
		if (button.hasAttribute("commandfor") && !commandsByThemselves) command(button);
	});

	// A form that is on its way is not sent a second time. The server knows it again all the same; should the browser stay here, it can be
	// sent again after a while.
	document.addEventListener("submit", (event) => {
		const form = event.target;
		if (event.defaultPrevented || form.method !== "post") return;
		if (form.hasAttribute("data-sent")) return event.preventDefault();
		form.setAttribute("data-sent", "");
		event.submitter?.setAttribute("aria-busy", "true");
		setTimeout(() => sendable(form), 10000);
	});
	const sendable = (form) => {
		form.removeAttribute("data-sent");
		form.querySelectorAll("[aria-busy]").forEach((button) => button.removeAttribute("aria-busy"));
	};
	window.addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach(sendable));

	// An open list closes when something else is clicked, and by the escape key.
	const closeLists = (but) => document.querySelectorAll("details.switcher[open]").forEach((d) => d.contains(but) || d.removeAttribute("open"));
	document.addEventListener("click", (event) => closeLists(event.target));
	document.addEventListener("keydown", (event) => {
		if (event.key === "Escape") closeLists(null);
	});

	// Tabs that do not fit are scrolled to the one that is open.
	for (const tabs of document.querySelectorAll(".tabs ul")) {
		const open = tabs.querySelector("[aria-current]");
		if (open) tabs.scrollLeft = open.offsetLeft - (tabs.clientWidth - open.offsetWidth) / 2;
	}

	// Keys that press a button, follow a link or choose something: those of an element's data-key. Nobody who writes, or who has
	// switched them off, is disturbed.
	const keysOff = () => localStorage.getItem("kinora-keys") === "off";
	const writes = (e) => e.isContentEditable || /^(TEXTAREA|SELECT)$/.test(e.tagName) || (e.tagName === "INPUT" && !/^(radio|checkbox|range|button|submit)$/.test(e.type));
	document.addEventListener("keydown", (event) => {
		if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing || keysOff()) return;
		if (writes(event.target) || document.querySelector("dialog[open]")) return;
		const found = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
		if (!found) return;
		event.preventDefault();
		(found.hasAttribute("data-key-first") ? found.querySelector("button") : found).click();
	});
	const switchOff = document.querySelector("[data-keys-off]");
	if (switchOff) {
		switchOff.checked = keysOff();
		switchOff.addEventListener("change", () => localStorage.setItem("kinora-keys", switchOff.checked ? "off" : "on"));
	}

	// Ages, in the words of ui.Age.
	const age = (seconds) => {
		const s = Math.abs(seconds);
		if (s < 10) return "just now";
		const [n, unit] = s < 60 ? [s, "s"] : s < 3600 ? [s / 60, "min"] : s < 172800 ? [s / 3600, "h"] : [s / 86400, "d"];
		const text = `${Math.floor(n)} ${unit}`;
		return seconds < 0 ? `in ${text}` : `${text} ago`;
	};
	const refresh = () => {
		for (const time of document.querySelectorAll("time[data-age]")) {
			const text = age((Date.now() - Date.parse(time.dateTime)) / 1000);
			if (time.textContent !== text) time.textContent = text;
		}
	};
	setInterval(refresh, 10000);
})();
