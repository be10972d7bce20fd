from celery import shared_task

from .models import Book


@shared_task
def count_words(book_id):
    book = Book.objects.get(pk=book_id)
    book.words = len(book.text.split())
    book.save(update_fields=["words"])
    return book.words
