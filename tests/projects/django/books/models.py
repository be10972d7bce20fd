from django.db import models


class Book(models.Model):
    title = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    words = models.PositiveIntegerField(null=True, editable=False)

    def __str__(self):
        return self.title
