package dashboard

import "encoding/json"

// shownValues are what the fields of a form stood at when it was drawn, by name. A form brings them back, so that saving it changes
// what somebody has changed in it, and nothing that somebody else has changed meanwhile.
type shownValues map[string]string

// shownField is where a form keeps them.
const shownField = "shown"

// String is how a form keeps them.
func (s shownValues) String() string {
	text, _ := json.Marshal(map[string]string(s)) // marshals any strings
	return string(text)
}

// shown reads what the posted form showed. A form that does not say so, such as a program's, changes all that it has.
func (v *visit) shown() (s shownValues) {
	if json.Unmarshal([]byte(v.form(shownField)), &s) != nil {
		return nil
	}
	return s
}

// changed tells whether a field was filled in otherwise than it was shown.
func (s shownValues) changed(name, typed string) bool {
	was, known := s[name]
	return !known || was != typed
}

// overtaken are the fields that both who sends the form and somebody else have changed since it was drawn, each with what stands there
// now. typed is what was filled in, now how things are.
func (s shownValues) overtaken(typed, now shownValues) map[string]string {
	found := map[string]string{}
	for name, was := range s {
		if text := typed[name]; s.changed(name, text) && now[name] != was && now[name] != text {
			found[name] = "Somebody has changed this meanwhile to " + quoted(now[name]) + ". Save once more to put yours in its place."
		}
	}
	return found
}

func quoted(text string) string {
	if text == "" {
		return "nothing"
	}
	return "“" + beginning(text, 200) + "”"
}
