package shortener

import "testing"

func TestFind(t *testing.T) {
	links := New()
	key, err := links.Add("https://example.com/a")
	if err != nil {
		t.Fatal(err)
	}
	if url, ok := links.Find(key); !ok || url != "https://example.com/a" {
		t.Errorf("Find(%q) = %q, %v", key, url, ok)
	}
	if _, ok := links.Find("zz"); ok {
		t.Error("an unknown key was found")
	}
}

func TestAddRefuses(t *testing.T) {
	if _, err := New().Add("ftp://example.com"); err != ErrURL {
		t.Errorf("err = %v", err)
	}
}
