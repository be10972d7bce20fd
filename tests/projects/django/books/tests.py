from unittest.mock import patch

from django.test import TestCase

from .models import Book
from .tasks import count_words


class BookTests(TestCase):
    def test_words_are_counted(self):
        book = Book.objects.create(title="Short", text="four words and done")
        self.assertEqual(count_words(book.pk), 4)
        self.assertEqual(self.client.get("/books/").json()["books"][0]["words"], 4)

    @patch("books.views.count_words.delay")
    def test_a_new_book_is_queued(self, delay):
        created = self.client.post("/books/", {"title": "New"})
        self.assertEqual(created.status_code, 201)
        delay.assert_called_once_with(created.json()["id"])
