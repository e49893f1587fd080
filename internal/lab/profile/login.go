package profile

// loginFiles say what the login of the host may do. The login itself is added to
// what /etc/passwd of the image has.
func (p Profile) loginFiles() []File {
	if p.Login == "" {
		return nil
	}
	text := p.Login + " ALL=(ALL) NOPASSWD:ALL\n"
	switch p.Sudo {
	case "requiretty":
		text += "Defaults requiretty\n"
	case "password":
		text = p.Login + " ALL=(ALL) ALL\nDefaults timestamp_timeout=0\n"
	}
	return []File{{Path: "etc/sudoers.d/lab", Text: text, Mode: 0o440}}
}
