// Package shortener keeps short links in memory.
package shortener

import (
	"errors"
	"strconv"
	"strings"
	"sync"
)

// ErrURL is returned for what is not a web address.
var ErrURL = errors.New("url must start with http:// or https://")

// Links maps short keys to URLs; it is safe for concurrent use.
type Links struct {
	mu   sync.RWMutex
	urls []string
}

// New returns an empty set of links.
func New() *Links { return &Links{} }

// Add stores a URL and returns its key.
func (l *Links) Add(url string) (string, error) {
	if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
		return "", ErrURL
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.urls = append(l.urls, url)
	return strconv.FormatInt(int64(len(l.urls)), 36), nil
}

// Find returns the URL of a key.
func (l *Links) Find(key string) (string, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	number, err := strconv.ParseInt(key, 36, 0)
	if err != nil || number < 1 || int(number) > len(l.urls) {
		return "", false
	}
	return l.urls[number-1], true
}
