from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from .models import Book
from .tasks import count_words


@csrf_exempt
@require_http_methods(["GET", "POST"])
def books(request):
    if request.method == "POST":
        book = Book.objects.create(title=request.POST["title"], text=request.POST.get("text", ""))
        count_words.delay(book.pk)
        return JsonResponse({"id": book.pk}, status=201)
    return JsonResponse({"books": list(Book.objects.order_by("pk").values("id", "title", "words"))})
